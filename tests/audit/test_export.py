"""The lossy views: one line a record, in the form the other system reads."""

from __future__ import annotations

import json
import re

import pytest

from agentguard.audit import LogRecord
from agentguard.audit.export import FORMATS, jsonl, ocsf, otlp, syslog
from agentguard.event import Json

EVENTS: dict[str, dict[str, Json]] = {
    "decision": {
        "type": "decision",
        "event": "tool_call",
        "decision": "deny",
        "disposition": "Blocked",
        "gen_ai.tool.name": "send\nmail\x1b[2J",
        "principal.id": "agent",
        "user.id": "ann",
        "reason": "origin-untrusted",
        "rules": ["tools.send"],
        "duration_ns": 2**70,
        "nested": {"a": [1, 2.5, True, None, {"b": "c"}]},
    },
    "login": {"type": "application", "event_type": "login", "user_id": "ann", "success": True, "ip_address": "::1"},
    "failed-logout": {"type": "application", "event_type": "logout", "user_id": "b", "success": False, "details": None},
    "odd": {"type": "näme with spaces and more than thirty-two letters"},
}


def record(name: str) -> LogRecord:
    data = {"time": "2026-01-31T12:00:00.123456789Z", "event_id": "ab" * 16, "monotonic_ns": 5, **EVENTS[name]}
    return LogRecord(7, 2, data)


@pytest.mark.parametrize("name", EVENTS)
@pytest.mark.parametrize("form", FORMATS)
def test_every_form_is_one_line_of_printable_ascii(form: str, name: str) -> None:
    line = FORMATS[form](record(name))

    assert re.fullmatch(r"[ -~]+", line)


def test_jsonl_is_the_record() -> None:
    assert json.loads(jsonl(record("decision"))) == {"index": 7, **record("decision").data}


@pytest.mark.parametrize(
    ("name", "kind", "status", "severity"),
    [("decision", 600399, 2, 3), ("login", 300201, 1, 1), ("failed-logout", 300202, 2, 3), ("odd", 600399, 1, 1)],
)
def test_ocsf_has_the_required_attributes(name: str, kind: int, status: int, severity: int) -> None:
    event = json.loads(ocsf(record(name)))

    assert event["type_uid"] == kind == event["class_uid"] * 100 + event["activity_id"]
    assert event["category_uid"] == event["class_uid"] // 1000
    assert (event["status_id"], event["severity_id"]) == (status, severity)
    assert event["time"] == 1769860800123
    assert event["metadata"]["version"] == "1.3.0"
    assert event["unmapped"]["event_id"] == "ab" * 16


def test_ocsf_maps_who_and_what() -> None:
    event = json.loads(ocsf(record("decision")))

    assert event["actor"]["user"] == {"uid": "ann"}
    assert event["disposition_id"] == 2
    assert "src_endpoint" not in event
    assert json.loads(ocsf(record("login")))["src_endpoint"] == {"ip": "::1"}


def test_otlp_is_an_export_request() -> None:
    (resource,) = json.loads(otlp(record("decision")))["resourceLogs"]
    (entry,) = resource["scopeLogs"][0]["logRecords"]
    attributes = {item["key"]: item["value"] for item in entry["attributes"]}

    assert entry["timeUnixNano"] == "1769860800123456789"
    assert (entry["severityNumber"], entry["severityText"]) == (13, "WARN")
    assert attributes["rules"] == {"arrayValue": {"values": [{"stringValue": "tools.send"}]}}
    assert attributes["duration_ns"] == {"stringValue": str(2**70)}
    assert attributes["agentguard.index"] == {"intValue": "7"}


def test_syslog_follows_rfc_5424() -> None:
    """Section 6: priority, version, time of six digits, no invented host, message id, structured data, message."""
    shape = re.compile(
        r"<(\d{1,3})>1 (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z) - agentguard - (\S{1,32}) "
        r'\[meta sequenceId="(\d+)"\]\[origin software="AgentGuard"\] (\{.*\})'
    )

    refused, odd = shape.fullmatch(syslog(record("decision"))), shape.fullmatch(syslog(record("odd")))

    assert refused is not None
    assert refused.groups()[:4] == ("108", "2026-01-31T12:00:00.123456Z", "decision", "8")
    assert json.loads(refused[5])["principal.id"] == "agent"
    assert odd is not None
    assert odd[1] == "110"
