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
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agentguard.errors import PolicyError
from agentguard.policy.compiled import (
    AgentRule,
    AuditRules,
    InjectionRules,
    InputRules,
    OutputRules,
    RateRules,
    RoleRule,
    ToolRule,
)
from agentguard.policy.compiler import Compiler, did_you_mean
from agentguard.policy.document import MAX_CHARS, Document, Step, read
from agentguard.policy.schema import PolicyFile

__all__ = ["Policy"]


@dataclass(frozen=True, slots=True)
class Policy:
    """What is permitted.

    ``digest`` is SHA-256 (hexadecimal) over the canonical content, defaults filled in: comments and layout do not
    change it, every rule does. It is the policy hash in audit records and approvals.
    """

    version: int
    mode: Literal["enforce", "shadow"]
    roles: Mapping[str, RoleRule]
    agents: Mapping[str, AgentRule]
    tools: Mapping[str, ToolRule]
    input: InputRules
    output: OutputRules
    rates: RateRules
    audit: AuditRules
    digest: str
    path: str | None = None

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
        try:
            # One byte past four bytes per character is enough to know that the text is too long.
            with Path(name).open("rb") as file:
                data = file.read(MAX_CHARS * 4 + 1)
            text = data.decode("utf-8-sig")
        except FileNotFoundError as error:
            raise PolicyError("no such policy file; `agentguard init` writes a starter policy", path=name) from error
        except UnicodeDecodeError as error:
            raise PolicyError(f"not UTF-8 text (byte {error.start}); save the file as UTF-8", path=name) from error
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise PolicyError(f"the policy file cannot be read: {reason}", path=name) from error
        return cls.parse(text, path=name)

    @classmethod
    def parse(cls, text: str, *, path: str | None = None) -> Policy:
        """Load from text; ``path`` is for error messages.

        Raises:
            PolicyError: it is no valid policy; with line and column.
        """
        document = read(text, path=path)
        file = _validated(document)
        compiler = Compiler(file, document)
        return cls(
            version=file.version,
            mode=file.mode,
            tools=MappingProxyType(compiler.tools()),
            roles=MappingProxyType(compiler.roles()),
            agents=MappingProxyType(compiler.agents()),
            input=_input(file),
            output=_output(file, compiler),
            rates=RateRules(
                model=compiler.rate(("rates", "model"), file.rates.model),
                message=compiler.rate(("rates", "message"), file.rates.message),
                default=compiler.rate(("rates", "default"), file.rates.default),
            ),
            audit=AuditRules(payloads=file.audit.payloads, fail=file.audit.fail),
            digest=_digest(file),
            path=path,
        )

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """JSON Schema (2020-12) of the file, for editors."""
        return PolicyFile.model_json_schema()


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


def _digest(file: PolicyFile) -> str:
    canonical = json.dumps(file.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


def _validated(document: Document) -> PolicyFile:
    if not isinstance(document.value, dict):
        document.fail((), "a policy is a mapping that starts with `version: 1`")
    # True equals 1, so Literal[1] would take it.
    if isinstance(document.value.get("version"), bool):
        document.fail(("version",), "got true or false; accepted: 1")
    try:
        return PolicyFile.model_validate(document.value)
    except ValidationError as error:
        # A misspelt key is also a missing one: name the spelling first.
        details = sorted(
            error.errors(include_url=False), key=lambda d: (d["type"] != "extra_forbidden", _order(document, d))
        )
        steps, message, is_key = _explained(document, details[0])
        document.fail(steps, message, key=is_key)


def _order(document: Document, detail: ErrorDetails) -> tuple[int, int]:
    place = document.values[_written(document, detail["loc"])]
    return place.line, place.column


def _written(document: Document, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The part of a pydantic location that stands in the file; the rest names union members."""
    while steps not in document.values:
        steps = steps[:-1]
    return steps


def _explained(document: Document, detail: ErrorDetails) -> tuple[tuple[Step, ...], str, bool]:
    """Where, what, and whether the fault is in a key rather than in its value."""
    steps = detail["loc"]
    kind = detail["type"]
    if kind == "extra_forbidden":
        known = _fields(steps[:-1])
        accepted = ", ".join(known)
        return (
            steps,
            f"unknown key {str(steps[-1])[:60]!r}; accepted: {accepted}{did_you_mean(str(steps[-1]), known)}",
            True,
        )
    if kind == "missing":
        accepted = "1" if steps == ("version",) else ", ".join(_choices(steps))
        return (
            steps[:-1],
            f"the key {str(steps[-1])!r} is missing" + (f"; accepted: {accepted}" if accepted else ""),
            False,
        )
    is_key = steps[-1:] == ("[key]",)
    steps = _written(document, steps)
    where = ".".join(str(step) for step in steps)
    got = _named(detail["input"])
    if kind == "literal_error":
        text = detail["input"] if isinstance(detail["input"], str) else ""
        choices = [choice.strip("'") for choice in detail["ctx"]["expected"].replace(" or ", ", ").split(", ")]
        return steps, f"{where}: got {got}; accepted: {', '.join(choices)}{did_you_mean(text, choices)}", False
    return steps, f"{where}: got {got}; {_ACCEPTED.get(kind) or detail['msg']}", is_key


_ACCEPTED = {
    "string_type": "accepted: text (put it in quotes if it looks like a number)",
    "list_type": "accepted: a list, as in [a, b]",
    "dict_type": "accepted: a mapping of names to rows",
    "model_type": "accepted: a mapping of keys to values",
    "model_attributes_type": "accepted: a mapping of keys to values",
    "int_type": "accepted: a whole number",
    "float_type": "accepted: a number",
    "bool_type": "accepted: true or false",
}


def _named(value: object) -> str:
    """A short description of what stood in the file. The file's author reads it, so the text itself may show."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return ascii(value)[:60]


def _row_type(steps: tuple[Step, ...]) -> Any:
    """The JSON Schema of the row at ``steps``, following names through mappings."""
    schema = PolicyFile.model_json_schema()
    node: dict[str, Any] = schema
    for step in steps:
        node = _resolved(schema, node)
        node = node.get("properties", {}).get(step) or node.get("additionalProperties") or node.get("items") or {}
    return _resolved(schema, node)


def _resolved(schema: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    for option in node.get("anyOf", ()):
        if "$ref" in option:
            node = option
    reference = node.get("$ref")
    return schema["$defs"][reference.rpartition("/")[2]] if reference else node


def _fields(steps: tuple[Step, ...]) -> list[str]:
    return list(_row_type(steps).get("properties", ()))


def _choices(steps: tuple[Step, ...]) -> list[str]:
    return [str(choice) for choice in _row_type(steps).get("enum", ())]
