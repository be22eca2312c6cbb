"""Records in other systems' forms: JSON Lines, OCSF 1.3, OpenTelemetry logs (OTLP/JSON), syslog (RFC 5424).

Each is a lossy view, one line per record and without line breaks inside it: the frames are the evidence.
Sources: https://schema.ocsf.io/1.3.0, https://opentelemetry.io/docs/specs/otlp (JSON encoding), RFC 5424.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime

from agentguard import __version__
from agentguard.audit.reader import LogRecord
from agentguard.audit.record import to_ns
from agentguard.event import Json

__all__ = ["FORMATS", "jsonl", "ocsf", "otlp", "syslog"]

# OCSF classes: Authentication and API Activity; the type is class and activity in one number.
_AUTHENTICATION, _API_ACTIVITY, _OTHER = 3002, 6003, 99
_LOGONS = {"login": 1, "logout": 2}
_DISPOSITIONS = {"Allowed": 1, "Blocked": 2}
# RFC 5424 section 6.2.1: facility 13 is "log audit"; severity warning or informational.
_FACILITY, _WARNING, _INFORMATIONAL = 13, 4, 6
# RFC 5424 section 7.3.1.
_MAX_SEQUENCE = 2147483647
_MAX_MSGID = 32

_WARN, _INFO = 13, 9


def jsonl(record: LogRecord) -> str:
    """The record as it is, with its index."""
    return _line({"index": record.index, **record.data})


def ocsf(record: LogRecord) -> str:
    """API Activity (6003), or Authentication (3002) for logins and logouts; what has no place is in ``unmapped``."""
    data = record.data
    activity = _LOGONS.get(str(data.get("event_type")), _OTHER)
    kind = _AUTHENTICATION if activity != _OTHER else _API_ACTIVITY
    refused = _refused(data)
    event: dict[str, Json] = {
        "category_uid": kind // 1000,
        "class_uid": kind,
        "activity_id": activity,
        "type_uid": kind * 100 + activity,
        "time": _time_ns(record) // 1_000_000,
        "severity_id": 3 if refused else 1,
        "status_id": 2 if refused else 1,
        "disposition_id": _DISPOSITIONS.get(str(data.get("disposition")), 0 if "disposition" not in data else 99),
        "metadata": {
            "version": "1.3.0",
            "product": {"name": "AgentGuard", "vendor_name": "AgentGuard", "version": __version__},
            "uid": data.get("event_id"),
            "sequence": record.index,
        },
        "actor": {
            "user": _present(uid=data.get("user.id") or data.get("user_id")),
            "app_uid": data.get("principal.id"),
            "session": _present(uid=data.get("session.id") or data.get("session_id")),
        },
        "api": {
            "operation": data.get("gen_ai.tool.name") or data.get("event") or data.get("event_type") or data.get("type")
        },
        "src_endpoint": _present(ip=data.get("client.address") or data.get("ip_address")),
        "status_detail": data.get("reason"),
        "unmapped": data,
    }
    return _line(_present(**event))


def otlp(record: LogRecord) -> str:
    """One ``ExportLogsServiceRequest`` with one log record."""
    data = record.data
    refused = _refused(data)
    entry: dict[str, Json] = {
        "timeUnixNano": str(_time_ns(record)),
        "severityNumber": _WARN if refused else _INFO,
        "severityText": "WARN" if refused else "INFO",
        "eventName": f"agentguard.{data.get('type')}",
        "body": {"stringValue": _summary(data)},
        "attributes": [
            {"key": "agentguard.index", "value": {"intValue": str(record.index)}},
            *({"key": key, "value": _any_value(value)} for key, value in data.items() if value is not None),
        ],
    }
    resource: Json = {"attributes": [{"key": "service.name", "value": {"stringValue": "agentguard"}}]}
    scope: Json = {"name": "agentguard.audit", "version": __version__}
    return _line({"resourceLogs": [{"resource": resource, "scopeLogs": [{"scope": scope, "logRecords": [entry]}]}]})


def syslog(record: LogRecord) -> str:
    """RFC 5424: facility 13, the type as message id, the index as ``sequenceId``; the message is ASCII JSON."""
    data = record.data
    priority = _FACILITY * 8 + (_WARNING if _refused(data) else _INFORMATIONAL)
    # Section 6.2.3: at most six digits of a second.
    time = f"{record.time[:26]}Z"
    kind = "".join(char if "!" <= char <= "~" else "_" for char in str(data.get("type")))[:_MAX_MSGID] or "-"
    structured = f'[meta sequenceId="{record.index % _MAX_SEQUENCE + 1}"][origin software="AgentGuard"]'
    return f"<{priority}>1 {time} - agentguard - {kind} {structured} {jsonl(record)}"


FORMATS: Mapping[str, Callable[[LogRecord], str]] = {"jsonl": jsonl, "ocsf": ocsf, "otlp": otlp, "syslog": syslog}


def _line(value: Mapping[str, Json]) -> str:
    # ASCII: no name that a model chose can break a line or hide text in another system's terminal.
    return json.dumps(value, separators=(",", ":"))


def _refused(data: Mapping[str, Json]) -> bool:
    return data.get("decision") == "deny" or data.get("success") is False


def _summary(data: Mapping[str, Json]) -> str:
    parts = (data.get(name) for name in ("type", "event", "event_type", "decision", "gen_ai.tool.name", "reason"))
    return " ".join(part for part in parts if isinstance(part, str) and part)


def _time_ns(record: LogRecord) -> int:
    whole, _, digits = record.time.rstrip("Z").partition(".")
    return to_ns(datetime.fromisoformat(whole + "+00:00")) + int(digits or 0)


def _present(**fields: Json) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if value is not None and value != {}}


def _any_value(value: Json) -> Json:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        # 64 bits are what OTLP has; larger numbers stay readable.
        return {"intValue": str(value)} if -(2**63) <= value < 2**63 else {"stringValue": str(value)}
    if isinstance(value, float):
        return {"doubleValue": value}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_any_value(item) for item in value]}}
    if isinstance(value, dict):
        return {"kvlistValue": {"values": [{"key": key, "value": _any_value(item)} for key, item in value.items()]}}
    return {"stringValue": "" if value is None else value}
