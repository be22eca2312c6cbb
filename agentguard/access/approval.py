"""A person's yes or no to one tool call, bound to exactly that call.

The digest covers tool, its schema, arguments, principal, whom it acts for, conversation, policy and expiry in
canonical JSON (sorted keys, no spaces, after RFC 8785), so a yes to one call is no yes to another. What the person
sees is escaped: an invisible, reordering or terminal control character shows as its code point and does nothing.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, TextIO

from agentguard.conversation import Conversation
from agentguard.decision import Effect, Finding, Letter, Origin
from agentguard.errors import ConfigError
from agentguard.event import Json, Principal, ToolCall, json_copy

__all__ = [
    "ApprovalRequest",
    "Approver",
    "TerminalApprover",
    "ask_terminal",
    "canonical",
    "escaped",
    "principal_json",
    "principal_of",
    "request_json",
    "request_of",
]

# A person who is shown more than this reads none of it; the digest and the count say what was left out.
MAX_SHOWN_CHARS = 2_000
# How long a question stays open by default, in seconds.
DEFAULT_TTL = 300.0
# More values than this in doubt are no question a person can answer one by one.
MAX_SHOWN_ORIGINS = 20
# What a question that waits keeps of findings, and of values in doubt.
MAX_KEPT = 200

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
# Joined with their neighbours or drawn as nothing, though Unicode does not call them control characters.
_BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | frozenset(
    chr(c) for block in (range(0x180B, 0x1810), range(0xFE00, 0xFE10), range(0xE0000, 0xE1000)) for c in block
)


@dataclass(frozen=True, slots=True)
class ApprovalRequest:
    """One question to a person. ``expires_at`` is in seconds since 1970, UTC.

    ``schema`` is the digest of the tool's argument schema where the caller knows it: a tool that changes under its name
    is another tool. ``origins`` is the origin table of the call: what each value is and where it stood.
    """

    tool: str
    args: dict[str, Json]
    principal: Principal
    conversation: str
    policy_digest: str
    expires_at: float
    findings: tuple[Finding, ...] = field(default=(), compare=False)
    origins: tuple[Origin, ...] = field(default=(), compare=False, repr=False)
    schema: str = ""

    def __post_init__(self) -> None:
        # A private copy: what was shown and hashed is what stays here.
        object.__setattr__(self, "args", json_copy(self.args))

    @classmethod
    def of(
        cls,
        call: ToolCall,
        run: Conversation,
        *,
        policy_digest: str,
        findings: tuple[Finding, ...] = (),
        origins: tuple[Origin, ...] = (),
        schema: str = "",
        ttl: float = DEFAULT_TTL,
        clock: Callable[[], float] = time.time,
    ) -> ApprovalRequest:
        """Ask about ``call`` as it would run now; the answer counts for ``ttl`` seconds.

        Raises:
            ConfigError: ``ttl`` is not a positive number of seconds.
        """
        if not 0 < ttl < float("inf"):
            raise ConfigError(f"got ttl={ttl}; a finite number of seconds above 0 is accepted")
        return cls(call.tool, call.args, run.principal, run.id, policy_digest, clock() + ttl, findings, origins, schema)

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) over everything the answer is bound to. Findings and origins explain only."""
        return hashlib.sha256(canonical(self._bound()).encode("utf-8", "surrogatepass")).hexdigest()

    def expired(self, now: float) -> bool:
        """Whether an answer given at ``now`` (seconds since 1970) comes too late."""
        return now >= self.expires_at

    def render(self) -> str:
        """The question as text for a terminal or a page: one line per argument, every value escaped."""
        lines = [f"{escaped(self.principal.id)} wants to run the tool {escaped(self.tool)}"]
        if self.principal.on_behalf_of is not None:
            lines.append(f"  on behalf of {escaped(self.principal.on_behalf_of.id)}")
        lines.extend(f"  {escaped(name)} = {_shown(value)}" for name, value in self.args.items())
        lines.extend(f"  because: {escaped(finding.message or finding.type)}" for finding in self.findings)
        doubtful = [origin for origin in self.origins if origin.effect is not Effect.ALLOW]
        lines.extend(_origin_line(origin) for origin in doubtful[:MAX_SHOWN_ORIGINS])
        if left_out := len(doubtful) - MAX_SHOWN_ORIGINS:
            lines.extend([f"  [... {left_out} more values not shown ...]"] if left_out > 0 else [])
        lines.append(f"  digest {self.digest}")
        return "\n".join(lines)

    @property
    def payload(self) -> dict[str, Json]:
        """The question as JSON for a page or a queue, every text of it escaped; an answer names its ``digest``."""
        doubtful = [origin for origin in self.origins if origin.effect is not Effect.ALLOW]
        return {
            "question": "approval",
            "tool": escaped(self.tool),
            "args": {escaped(name): _shown(value) for name, value in self.args.items()},
            "principal": escaped(self.principal.id),
            "on_behalf_of": escaped(self.principal.on_behalf_of.id) if self.principal.on_behalf_of else None,
            "because": [escaped(finding.message or finding.type) for finding in self.findings],
            "values": [_origin_json(origin) for origin in doubtful[:MAX_SHOWN_ORIGINS]],
            "expires_at": self.expires_at,
            "digest": self.digest,
        }

    def _bound(self) -> Json:
        return {
            "tool": self.tool,
            "schema": self.schema,
            "args": self.args,
            "principal": principal_json(self.principal),
            "conversation": self.conversation,
            "policy": self.policy_digest,
            "expires_at": self.expires_at,
        }


class Approver(Protocol):
    """Asks somebody. Anything but True, an exception included, is a no."""

    def __call__(self, request: ApprovalRequest, /) -> bool: ...


@dataclass(frozen=True, slots=True)
class TerminalApprover:
    """Asks on a terminal, and says no where there is none, on end of input, or after the expiry."""

    source: TextIO
    sink: TextIO
    clock: Callable[[], float] = time.time

    def __call__(self, request: ApprovalRequest, /) -> bool:
        """Show the request; only the full word ``yes`` is a yes."""
        if not (self.source.isatty() and self.sink.isatty()):
            return False
        self.sink.write(f"{request.render()}\nRun it? Type yes to permit, anything else refuses: ")
        self.sink.flush()
        answer = self.source.readline()
        return answer.strip().lower() == "yes" and not request.expired(self.clock())


def ask_terminal(request: ApprovalRequest, /) -> bool:
    """Ask on standard input and standard error; no where either is no terminal."""
    return TerminalApprover(sys.stdin, sys.stderr)(request)


def escaped(text: str) -> str:
    """``text`` with every character that is invisible, reorders, or controls a terminal shown as its code point."""
    if text.isascii() and text.isprintable():
        return text.replace("\\", "\\\\").replace('"', '\\"')
    return "".join(map(_escaped_char, text))


def _escaped_char(char: str) -> str:
    if char in '\\"':
        return "\\" + char
    if char in "\n\r\t":
        return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}[char]
    if unicodedata.category(char) in _UNSEEN or char in _BLANK or (char != " " and char.isspace()):
        return f"\\u{{{ord(char):04X}}}"
    return char


def _shown(value: Json) -> str:
    """Every element at any depth; only the middle of a long text is left out, and said to be."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_shown(key)}: {_shown(item)}" for key, item in value.items()) + "}"
    if not isinstance(value, str):
        return json.dumps(value)
    if len(value) <= MAX_SHOWN_CHARS:
        return f'"{escaped(value)}"'
    half = MAX_SHOWN_CHARS // 2
    left_out = len(value) - 2 * half
    return f'"{escaped(value[:half])}" [... {left_out} characters not shown ...] "{escaped(value[-half:])}"'


def _origin_json(origin: Origin) -> Json:
    return {
        "argument": escaped(origin.argument),
        "value": _shown(origin.value),
        "origin": origin.meaning,
        "source": escaped(origin.source) or None,
        "sentence": escaped(" ".join(origin.excerpt.split())) or None,
    }


def _origin_line(origin: Origin) -> str:
    """The value in doubt, where it came from, and the sentence it stood in."""
    where = f" ({escaped(origin.source)})" if origin.source else ""
    stood = f', in: "{escaped(" ".join(origin.excerpt.split()))}"' if origin.excerpt else ""
    return f"  {escaped(origin.argument)}: {_shown(origin.value)} {origin.meaning}{where}{stood}"


def principal_json(principal: Principal | None) -> Json:
    """A principal and whom it acts for, as JSON."""
    if principal is None:
        return None
    return {
        "id": principal.id,
        "kind": principal.kind,
        "roles": [*sorted(principal.roles)],
        "session": principal.session,
        "tenant": principal.tenant,
        "on_behalf_of": principal_json(principal.on_behalf_of),
    }


def principal_of(said: Any) -> Principal:
    """What ``principal_json`` wrote."""
    behind = said["on_behalf_of"]
    return Principal(
        said["id"],
        said["kind"],
        tuple(said["roles"]),
        None if behind is None else principal_of(behind),
        said["session"],
        said["tenant"],
    )


def request_json(request: ApprovalRequest) -> Json:
    """The question with what explains it, for ``request_of``. Of values in doubt the first two hundred."""
    doubtful = [origin for origin in request.origins if origin.effect is not Effect.ALLOW]
    return {
        "tool": request.tool,
        "args": request.args,
        "principal": principal_json(request.principal),
        "conversation": request.conversation,
        "policy": request.policy_digest,
        "expires_at": request.expires_at,
        "schema": request.schema,
        "findings": [[finding.type, finding.rule, finding.message] for finding in request.findings[:MAX_KEPT]],
        "origins": [
            [origin.argument, origin.letter.name, origin.effect.value, origin.value, origin.source, origin.excerpt]
            for origin in doubtful[:MAX_KEPT]
        ],
    }


def request_of(said: Any) -> ApprovalRequest:
    """What ``request_json`` wrote; the digest is the same."""
    return ApprovalRequest(
        said["tool"],
        said["args"],
        principal_of(said["principal"]),
        said["conversation"],
        said["policy"],
        said["expires_at"],
        tuple(Finding(kind, rule, message=message) for kind, rule, message in said["findings"]),
        tuple(
            Origin(argument, (), Letter[letter], _DOUBTS[effect], value, source, None, excerpt)
            for argument, letter, effect, value, source, excerpt in said["origins"]
        ),
        said["schema"],
    )


_DOUBTS = {each.value: each for each in (Effect.DENY, Effect.REQUIRE_APPROVAL)}


def canonical(value: Json) -> str:
    """JSON with sorted keys and no spaces (after RFC 8785): equal values have equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
