"""The policy file, loaded: one immutable value that says what is permitted, and what to look it up in.

Nothing is guessed: an unknown key, name, word or operator is a PolicyError with line, column and what is accepted.
After loading there is no I/O.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from pydantic.json_schema import GenerateJsonSchema

from agentguard.policy.compiled import (
    AgentRule,
    ApprovalRules,
    AuditRules,
    FlowRules,
    InjectionRules,
    InputRules,
    MonitorRules,
    OutputRules,
    RateRules,
    RecognizerRules,
    RedactionRule,
    RoleRule,
    ToolRule,
)
from agentguard.policy.compiler import Compiler
from agentguard.policy.document import read, read_file
from agentguard.policy.schema import PolicyFile
from agentguard.policy.validation import validated

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is permitted.

    ``digest`` is SHA-256 (hexadecimal) over the canonical content, defaults filled in: comments and layout do not
    change it, every rule does. It is the policy hash in audit records and approvals. ``texts_digest`` covers ``input``,
    ``output``, ``recognizers`` and ``redaction`` alone.
    """

    version: int
    mode: Literal["enforce", "shadow"]
    roles: Mapping[str, RoleRule]
    agents: Mapping[str, AgentRule]
    tools: Mapping[str, ToolRule]
    input: InputRules
    output: OutputRules
    rates: RateRules
    approval: ApprovalRules
    audit: AuditRules
    flow: FlowRules
    recognizers: RecognizerRules
    redaction: Mapping[str, RedactionRule]
    digest: str
    path: str | None = None
    texts_digest: str = ""
    permissions: tuple[str, ...] = ()
    monitor: MonitorRules | None = None

    @classmethod
    def default(cls) -> Policy:
        """The secure default: no tool is permitted, every content check is on."""
        return cls.parse("version: 1\n")

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Policy:
        """Load a file.

        Raises:
            PolicyError: it is missing, unreadable, or no valid policy.
        """
        name = os.fspath(path)
        return cls.parse(
            read_file(name, missing="no such policy file; `agentguard init` writes a starter policy"), path=name
        )

    @classmethod
    def parse(cls, text: str, *, path: str | None = None) -> Policy:
        """Load from text; ``path`` is for error messages.

        Raises:
            PolicyError: it is no valid policy; with line and column.
        """
        document = read(text, path=path)
        file = validated(document, PolicyFile, noun="a policy")
        compiler = Compiler(file, document)
        return cls(
            version=file.version,
            mode=file.mode,
            tools=MappingProxyType(compiler.tools()),
            roles=MappingProxyType(compiler.roles()),
            agents=MappingProxyType(compiler.agents()),
            input=_input(file),
            output=_output(file, compiler),
            rates=compiler.rates(),
            approval=compiler.approval(),
            audit=AuditRules(payloads=file.audit.payloads, fail=file.audit.fail),
            flow=compiler.flow(),
            recognizers=compiler.recognizers(),
            redaction=compiler.redaction(),
            digest=_digest(file),
            path=path,
            texts_digest=_digest(file, {"input", "output", "recognizers", "redaction"})[:16],
            permissions=tuple(file.permissions),
            monitor=compiler.monitor(),
        )

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """JSON Schema (2020-12) of the file, for editors; published as docs/agentguard.schema.json."""
        return {
            "$schema": GenerateJsonSchema.schema_dialect,
            **PolicyFile.model_json_schema(schema_generator=_Untitled),
            "title": "AgentGuard policy",
        }


class _Untitled(GenerateJsonSchema):
    """Titles that pydantic makes of field names would be all that editors show beside a description."""

    def field_title_should_be_set(self, schema: Any) -> bool:  # pydantic's signature
        return False


def _input(file: PolicyFile) -> InputRules:
    row = file.input
    return InputRules(
        max_length=row.max_length,
        tool_result_max=row.tool_result_max,
        injection=InjectionRules(**row.injection.model_dump(exclude_none=True)),
        unicode=row.unicode,
        redact=frozenset(row.redact),
    )


def _output(file: PolicyFile, compiler: Compiler) -> OutputRules:
    row = file.output
    return OutputRules(
        max_length=row.max_length,
        redact=frozenset(row.redact),
        markup=row.markup,
        allow_hosts=compiler.hosts(),
    )


def _digest(file: PolicyFile, sections: set[str] | None = None) -> str:
    body = file.model_dump(mode="json", include=sections)
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
