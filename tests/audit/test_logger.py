"""Application events: redacted, complete, found again, and never at the caller's expense."""

from __future__ import annotations

import copy
import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from agentguard.audit import AuditEventType, AuditLog, EventLogger, request_context, verify
from agentguard.errors import ConfigError
from agentguard.store import Home

SECRET = "made-up-" + "sesame"


def redact(text: str) -> str:
    return text.replace(SECRET, "[redacted]")


@pytest.fixture
def logger(tmp_path: Path) -> Iterator[EventLogger]:
    with EventLogger(tmp_path / "events.db", redact=redact) as made:
        yield made


def test_events_outlive_the_logger(tmp_path: Path) -> None:
    for turn in range(3):
        with EventLogger(tmp_path / "events.db") as logger:
            logger.log_event(AuditEventType.LOGIN, "ann", {"turn": turn})

    with EventLogger(str(tmp_path / "events.db")) as logger:
        found = logger.query_logs({"user_id": "ann"})

    assert [event["details"] for event in found] == [{"turn": 0}, {"turn": 1}, {"turn": 2}]
    assert verify(Home.beside(tmp_path / "events.db")).records == 3


def test_secrets_go_at_any_depth_and_the_callers_details_stay(logger: EventLogger) -> None:
    details = {
        "note": f"used {SECRET} twice",
        "Api-Key": SECRET,
        "nested": [{"password": "p", "db_token": ["a"], "deep": {SECRET: [SECRET]}}],
        "tokens": 512,
    }
    before = copy.deepcopy(details)

    logger.log_event(AuditEventType.DATA_MODIFY, "ann", details)

    stored = logger.query_logs()[0]["details"]
    assert details == before
    assert SECRET not in str(stored)
    assert stored == {
        "note": "used [redacted] twice",
        "Api-Key": "[redacted:field-name]",
        "nested": [
            {
                "password": "[redacted:field-name]",
                "db_token": "[redacted:field-name]",
                "deep": {"[redacted]": ["[redacted]"]},
            }
        ],
        "tokens": 512,
    }


def test_failing_redactor_drops_the_details_not_the_event(tmp_path: Path) -> None:
    def broken(text: str) -> str:
        raise RuntimeError(text)

    with EventLogger(tmp_path / "e.db", redact=broken) as logger:
        logger.log_event(AuditEventType.SECURITY_ALERT, "ann", {"note": SECRET})
        found = logger.query_logs()

    assert [(event["event_type"], event["details"]) for event in found] == [
        ("security_alert", {"dropped": "RuntimeError"})
    ]


def test_values_without_json_form_do_not_lose_the_event(logger: EventLogger) -> None:
    logger.log_event(AuditEventType.LOGIN, "ann", {"odd": object()})

    assert logger.query_logs()[0]["details"] == {"dropped": "UnsupportedValueError"}


def test_long_details_become_length_and_digest(logger: EventLogger) -> None:
    logger.log_event(AuditEventType.LOGIN, "field", {"long": "x" * 9000, "short": "y"})
    logger.log_event(AuditEventType.LOGIN, "record", {str(n): "x" * 8000 for n in range(10)})

    field, record = (event["details"] for event in logger.query_logs())

    assert isinstance(field, dict)
    assert isinstance(record, dict)
    assert isinstance(field["long"], dict)
    assert (field["long"]["length"], field["short"]) == (9002, "y")
    assert len(str(record["sha256"])) == 64


@pytest.mark.parametrize(
    ("filters", "users"),
    [
        pytest.param({"event_type": AuditEventType.LOGIN}, ["ann"], id="by-type"),
        pytest.param({"event_type": "logout"}, ["bob"], id="by-type-value"),
        pytest.param({"success": False}, ["bob"], id="by-outcome"),
        pytest.param({"user_id": "ann", "event_type": "logout"}, [], id="all-must-hold"),
        pytest.param({"colour": "red"}, [], id="absent-field"),
        pytest.param({"ip_address": None}, [], id="null-is-absent"),
        pytest.param(None, ["ann", "bob"], id="no-filter"),
    ],
)
def test_filters(logger: EventLogger, filters: dict[str, object] | None, users: list[str]) -> None:
    logger.log_event(AuditEventType.LOGIN, "ann", {})
    logger.log_event(AuditEventType.LOGOUT, "bob", {}, success=False)

    assert [event["user_id"] for event in logger.query_logs(filters)] == users


def test_times_have_zones_and_bound_the_answer(logger: EventLogger) -> None:
    before = datetime.datetime.now(datetime.UTC)
    logger.log_event(AuditEventType.DATA_ACCESS, "ann", {})
    hour = datetime.timedelta(hours=1)

    assert len(logger.query_logs({}, before - hour, before + hour)) == 1
    assert logger.query_logs({}, before + hour, None) == []
    assert str(logger.query_logs()[0]["timestamp"]).endswith("Z")
    with pytest.raises(ConfigError, match="zone"):
        logger.query_logs({}, datetime.datetime(2026, 1, 1), None)  # noqa: DTZ001


def test_peer_comes_from_the_context_or_is_null(logger: EventLogger) -> None:
    with request_context(ip_address="192.0.2.7", session_id="s-1"):
        logger.log_event(AuditEventType.LOGIN, "ann", {})
    logger.log_event(AuditEventType.LOGIN, "bob", {})

    peers = [(event["ip_address"], event["session_id"]) for event in logger.query_logs()]

    assert peers == [("192.0.2.7", "s-1"), (None, None)]


def test_a_session_opened_during_a_request_keeps_its_address(logger: EventLogger) -> None:
    with request_context(ip_address="192.0.2.7"), request_context(session_id="s-1"):
        logger.log_event(AuditEventType.LOGIN, "ann", {})

    (event,) = logger.query_logs()
    assert (event["ip_address"], event["session_id"]) == ("192.0.2.7", "s-1")


async def test_async_form_records_the_same(logger: EventLogger) -> None:
    await logger.alog_event(AuditEventType.AGENT_EXECUTE, "ann", {"note": SECRET})

    assert logger.query_logs()[0]["details"] == {"note": "[redacted]"}


def test_logger_shares_the_guards_log(tmp_path: Path) -> None:
    """One log, one chain: guard records stay out of ``query_logs`` and the log stays open."""
    with AuditLog.open(Home.create(tmp_path / "h")) as log:
        log.append({"type": "decision", "user_id": "ann"}, durable=True).result()
        with EventLogger(log=log) as logger:
            logger.log_event(AuditEventType.LOGIN, "ann", {})
            assert len(logger.query_logs({"user_id": "ann"})) == 1

        assert len(log.tail(9)) == 2
