"""What a record says, how it is spelt, and which records must be durable before anything happens.

Field names. OpenTelemetry semantic conventions: ``gen_ai.tool.name``, ``gen_ai.tool.call.id``,
``gen_ai.conversation.id``, ``gen_ai.operation.name``, ``session.id``, ``user.id``, ``client.address``.
OCSF 1.x: ``time`` (here RFC 3339 with nanoseconds), ``disposition`` (Allowed, Blocked, or Approved's question
``Escalated``), ``duration``'s meaning in ``duration_ns``. The rest has no name there and is ours.
Records made by the guard carry no free text: codes, ids, positions and digests only, unless ``payloads`` is full.
"""

from __future__ import annotations

import datetime
import functools
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from agentguard.audit.request import current_peer
from agentguard.conversation import Conversation
from agentguard.decision import Decision, Effect, Finding, Origin
from agentguard.errors import ConfigError, DecryptError
from agentguard.event import (
    AgentMessage,
    Event,
    Json,
    ModelInput,
    ModelOutput,
    Principal,
    ToolCall,
    ToolResult,
    json_copy,
)

__all__ = [
    "FIELD_ALIASES",
    "INDEXED_FIELDS",
    "decision_record",
    "decode",
    "decode_indexed",
    "digest",
    "encode",
    "field_values",
    "path_step",
    "repeat_key",
    "stamp",
    "terms_of_frame",
    "to_ns",
]

# Equality on these is answered through the token index; on others every frame in the time range is read.
INDEXED_FIELDS = (
    "type",
    "event",
    "decision",
    "reason",
    "principal.id",
    "user.id",
    "session.id",
    "tenant.id",
    "run.id",
    "run.parent_id",
    "framework",
    "gen_ai.tool.name",
    "gen_ai.tool.call.id",
    "gen_ai.conversation.id",
    "rules",
    "event_type",
    "user_id",
)

# Short names a query may use.
FIELD_ALIASES = {
    "principal": "principal.id",
    "user": "user.id",
    "session": "session.id",
    "tenant": "tenant.id",
    "run": "run.id",
    "tool": "gen_ai.tool.name",
    "call": "gen_ai.tool.call.id",
    "thread": "gen_ai.conversation.id",
    "rule": "rules",
}

# A crafted text can give a million findings, and a model can ask for a tool with a name of megabytes: what is recorded
# is bounded, so that no event is too large for its record.
MAX_FINDINGS = 100
MAX_ORIGINS = 200
MAX_NAME_CHARS = 1024
MAX_LINKS = 8

# A payload larger than this is recorded as digest and length even when payloads are opted in.
MAX_PAYLOAD_BYTES = 1024 * 1024

_KINDS: dict[type, tuple[str, str]] = {
    ModelInput: ("model_input", "chat"),
    ModelOutput: ("model_output", "chat"),
    ToolCall: ("tool_call", "execute_tool"),
    ToolResult: ("tool_result", "execute_tool"),
    AgentMessage: ("agent_message", "invoke_agent"),
}
_DISPOSITIONS = {Effect.ALLOW: "Allowed", Effect.DENY: "Blocked", Effect.REQUIRE_APPROVAL: "Escalated"}


def decision_record(
    decision: Decision, event: Event, run: Conversation, *, payloads: Literal["digest", "full"] = "digest"
) -> dict[str, Json]:
    """The record of one decision about ``event`` as it came in.

    Absent values are null, never invented. The payload is in it only when ``payloads`` is ``full``.
    """
    principal = run.principal
    kind, operation = _KINDS[type(event)]
    return {
        "type": "decision",
        "event": kind,
        "gen_ai.operation.name": operation,
        "decision": decision.effect.value,
        "disposition": "Allowed" if decision.allowed else _DISPOSITIONS[decision.effect],
        "decision.id": decision.id,
        "mode": decision.mode,
        "stage": decision.stage,
        "reason": decision.reason,
        "rules": list(decision.rules),
        "findings": [_finding(finding) for finding in decision.findings[:MAX_FINDINGS]],
        "findings.omitted": max(0, len(decision.findings) - MAX_FINDINGS),
        "rewritten": decision.rewritten,
        "duration_ns": decision.elapsed_ns,
        "principal.id": principal.id,
        "principal.kind": principal.kind,
        "delegation": _delegation(principal),
        "user.id": principal.on_behalf_of.id if principal.on_behalf_of else None,
        "session.id": principal.session,
        "tenant.id": principal.tenant,
        "run.id": run.id,
        "run.parent_id": run.parent.id if run.parent else None,
        "framework": run.framework,
        "gen_ai.conversation.id": run.thread,
        "client.address": current_peer().ip_address,
        **_about(event),
        **_origins(decision, event, payloads),
        **_payload(event, payloads),
    }


def _delegation(principal: Principal) -> Json:
    """Who acts and on whose behalf, with the roles that each credential carried."""
    found: list[Json] = []
    link: Principal | None = principal
    while link is not None and len(found) < MAX_LINKS:
        found.append({"id": link.id, "kind": link.kind, "roles": list(link.roles)})
        link = link.on_behalf_of
    return found


def repeat_key(record: Mapping[str, Json]) -> tuple[str, str] | None:
    """What makes a denial the repeat of another: principal and rule, and the tool. None for what is none."""
    if record.get("decision") != "deny" or record.get("mode") != "enforce":
        return None
    names = ("principal.id", "user.id", "event", "stage", "reason", "rules")
    return json.dumps([record.get(name) for name in names]), json.dumps(record.get("gen_ai.tool.name"))


def digest(value: Json) -> tuple[str, int, bytes]:
    """SHA-256 (hex) and length of ``value`` as JSON with sorted keys and no spaces, and those bytes."""
    try:
        data = msgspec.json.encode(value, order="sorted")
    except (UnicodeEncodeError, OverflowError):
        # Lone surrogates and integers past 64 bits: escaped and spelt out, so that a crafted text is still recorded.
        data = json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
    return hashlib.sha256(data).hexdigest(), len(data), data


def encode(record: Mapping[str, Json]) -> bytes:
    """The record as UTF-8 JSON.

    Raises:
        ConfigError: a value has no JSON form.
    """
    try:
        return msgspec.json.encode(record)
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(dict(record), separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigError("an audit record holds a value without a JSON form; pass plain JSON types") from error


def decode(data: bytes) -> dict[str, Json]:
    """Read what ``encode`` wrote.

    Raises:
        DecryptError: not a JSON object.
    """
    try:
        record = _DECODER.decode(data)
    except (ValueError, RecursionError):
        record = _decode_odd(data)
    if not isinstance(record, dict):
        raise DecryptError("a record is no JSON object")
    return record


# Four times as fast as the standard library, and integers past 64 bits keep every digit.
_DECODER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


def _decode_odd(data: bytes) -> Json:
    """Lone surrogates: what ``encode`` wrote with the slower codec."""
    try:
        decoded: Json = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DecryptError("a record is no JSON") from error
    return decoded


_Indexed = msgspec.defstruct(
    "_Indexed",
    [(f"field_{n}", Any, None) for n in range(len(INDEXED_FIELDS) + 1)],
    rename={f"field_{n}": name for n, name in enumerate(("time", *INDEXED_FIELDS))},
    gc=False,
)
_INDEXED_DECODER = msgspec.json.Decoder(_Indexed)


def decode_indexed(data: bytes) -> tuple[Any, ...]:
    """The time and the indexed fields of a record, in order; the rest is checked to be JSON and skipped.

    Raises:
        DecryptError: not a JSON object.
    """
    try:
        return msgspec.structs.astuple(_INDEXED_DECODER.decode(data))
    except (ValueError, RecursionError):
        record = decode(data)
        return tuple(map(record.get, ("time", *INDEXED_FIELDS)))


def terms_of_frame(rows: Sequence[tuple[Any, ...]]) -> set[str]:
    """The terms (field, NUL, value) under which any of the records can be found, column by column."""
    terms: set[str] = set()
    for name, column in zip(("time", *INDEXED_FIELDS), zip(*rows, strict=True), strict=True):
        if name == "time":
            continue
        try:
            distinct = set(column)
        except TypeError:  # lists, of which each text counts
            distinct = {
                item
                for value in column
                for item in (value if isinstance(value, list) else [value])
                if isinstance(item, str)
            }
        terms.update(f"{name}\x00{value}" for value in distinct if isinstance(value, str))
    return terms


def field_values(record: Mapping[str, Json], name: str) -> Iterator[str]:
    """The texts a field can be asked for: itself, or each text of a list. Nothing for an absent or null field."""
    value = record.get(name)
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (item for item in value if isinstance(item, str))


def stamp(time_ns: int) -> str:
    """RFC 3339 in UTC with nine digits, so that text order is time order."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{_second(seconds)}.{rest:09d}Z"


@functools.lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return f"{datetime.datetime.fromtimestamp(seconds, datetime.UTC):%Y-%m-%dT%H:%M:%S}"


def to_ns(moment: datetime.datetime) -> int:
    """Nanoseconds since the epoch.

    Raises:
        ConfigError: the time has no zone.
    """
    if moment.tzinfo is None:
        raise ConfigError("a time without a zone is ambiguous; pass datetime.now(timezone.utc) or add a tzinfo")
    elapsed = moment - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    exact = (elapsed.days * 86_400 + elapsed.seconds) * 1_000_000_000 + elapsed.microseconds * 1_000
    # 64 bits end in 2262: as the end of a range, a later time means the same.
    return max(-(2**63), min(2**63 - 1, exact))


def _finding(finding: Finding) -> Json:
    # ``message`` stays out: nothing keeps a recognizer from quoting what it matched. Paths can hold dictionary
    # keys, which are the caller's text: keys are replaced by their position-free placeholder.
    return {
        "type": finding.type,
        "rule": finding.rule,
        "score": finding.score,
        "path": [step if isinstance(step, int) else path_step(step) for step in finding.path],
        "span": [finding.span.start, finding.span.end] if finding.span else None,
    }


def _origins(decision: Decision, event: Event, payloads: Literal["digest", "full"]) -> dict[str, Json]:
    """The origin table of a call. What it says of values is enough to judge a changed policy, not to read them."""
    if not decision.origins and not isinstance(event, ToolCall):
        return {}
    return {
        "origins": [_origin(origin, payloads) for origin in decision.origins[:MAX_ORIGINS]],
        "origins.omitted": max(0, len(decision.origins) - MAX_ORIGINS),
    }


def _origin(origin: Origin, payloads: Literal["digest", "full"]) -> dict[str, Json]:
    row: dict[str, Json] = {
        "argument": path_step(origin.argument),
        "path": [step if isinstance(step, int) else path_step(step) for step in origin.path],
        "kind": origin.kind,
        "origin": origin.letter.name,
        "effect": origin.effect.value,
        "reason": origin.reason or None,
        "source": _name(origin.source) if origin.source else None,
        "stood": [[letter.name, _name(source)] for letter, source in origin.stood],
        "value.sha256": hashlib.sha256(origin.value.encode("utf-8", "surrogatepass")).hexdigest(),
        "value.length": len(origin.value),
    }
    if payloads == "full" and len(origin.value) <= MAX_NAME_CHARS:
        row["value"] = origin.value
    return row


# Longer or odder steps are data, not names of parameters. A token can be an identifier too, but has digits.
_MAX_STEP = 32


def path_step(step: str) -> str:
    """The name of a parameter as records hold it: itself, or its digest when it may be data."""
    if len(step) <= _MAX_STEP and step.isidentifier() and not any(map(str.isdigit, step)):
        return step
    return f"sha256:{hashlib.sha256(step.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"


def _about(event: Event) -> dict[str, Json]:
    if isinstance(event, ToolCall | ToolResult):
        return {"gen_ai.tool.name": _name(event.tool), "gen_ai.tool.call.id": event.call_id and _name(event.call_id)}
    if isinstance(event, AgentMessage):
        return {"sender": _name(event.sender), "receiver": _name(event.receiver)}
    return {}


def _name(text: str) -> str:
    """``text``, or its digest when it is no name."""
    if len(text) <= MAX_NAME_CHARS:
        return text
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _payload(event: Event, payloads: Literal["digest", "full"]) -> dict[str, Json]:
    body = json_copy(event)
    sha256, length, _ = digest(body)
    fields: dict[str, Json] = {"payload.sha256": sha256, "payload.length": length}
    if payloads == "full" and length <= MAX_PAYLOAD_BYTES:
        fields["payload.body"] = body
    return fields
