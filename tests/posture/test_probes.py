"""A probe that cannot fail proves nothing: each is made to fail by the defect it is there for."""

from __future__ import annotations

import ssl
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agentguard import Home, RBACManager, Role, SecureSessionManager, assembly
from agentguard.channel import Authority, server_context
from agentguard.keys import KeyVault
from agentguard.posture import Project, Status, certificates, hooks, probe, records
from tests.posture.project import Planted

Break = Callable[[pytest.MonkeyPatch], None]


class _Forgetful(SecureSessionManager):
    """Its revocations do nothing."""

    def revoke_token(self, token: str) -> bool:
        return True


class _Plain(KeyVault):
    """Keeps a copy of each value beside the vault."""

    def store_api_key(self, service: str, api_key: str, **options: Any) -> int:
        place = Path(str(self._engine.url.database)).parent / "cache"
        place.write_text(api_key)
        return super().store_api_key(service, api_key, **options)


def _each_counts_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    real = probe.interpreter
    numbers = iter(range(100))

    def alone(module: str, home: str, key: str, *words: str) -> subprocess.Popen[str]:
        return real(module, home, f"{key}{next(numbers)}", *words)

    monkeypatch.setattr(probe, "interpreter", alone)


def _nothing_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "interpreter", lambda *_: _ended("raise SystemExit(1)"))


def _ended(script: str) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize(
    ("run", "broken", "status"),
    [
        pytest.param(
            probe.probe_revoked_token,
            lambda patch: patch.setattr(probe, "SecureSessionManager", _Forgetful),
            Status.FAILED,
            id="revocation-does-nothing",
        ),
        pytest.param(
            probe.probe_api_key_form,
            lambda patch: patch.setattr(probe, "KeyVault", _Plain),
            Status.FAILED,
            id="a-plain-copy-of-each-key",
        ),
        pytest.param(
            probe.probe_rate_limit, _each_counts_alone, Status.FAILED, id="each-process-counts-for-itself"
        ),
        pytest.param(probe.probe_rate_limit, _nothing_answers, Status.NOT_CHECKED, id="no-process-answers"),
        pytest.param(
            records.probe_edited_copy,
            lambda patch: patch.setitem(records._EDITS, "an edit", lambda _connection: None),
            Status.FAILED,
            id="an-edit-that-does-not-show",
        ),
    ],
)  # fmt: skip
def test_a_probe_fails_where_the_part_is_broken(
    planted: Planted,
    monkeypatch: pytest.MonkeyPatch,
    run: Callable[[Project], Any],
    broken: Break,
    status: Status,
) -> None:
    broken(monkeypatch)

    item = run(planted.project())

    assert (item.status, bool(item.remedy)) == (status, True)


def test_limits_on_a_redis_server_are_tried_there(planted: Planted, redis_url: str) -> None:
    """The server's URL is read by the processes that count, and told to nobody."""
    planted.change("default: 60/minute", "default: {limit: 60/minute, scope: redis}")
    (planted.home_path / "redis.url").write_text(redis_url)
    (planted.home_path / "redis.url").chmod(0o600)

    item = probe.probe_rate_limit(planted.project())

    assert (item.status, item.evidence.endswith("exactly 5 (store and redis)")) == (Status.OK, True)


def test_a_redis_server_that_is_gone_is_not_checked(planted: Planted) -> None:
    planted.change("default: 60/minute", "default: {limit: 60/minute, scope: redis}, redis: redis://127.0.0.1:1/0")

    assert probe.probe_rate_limit(planted.project()).status is Status.NOT_CHECKED


def test_a_role_that_runs_denied_tools_is_found(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe goes by the policy's text, not by what the broken roles say."""
    everything = Role("reader", tools=("*",))
    monkeypatch.setattr(assembly, "roles_of", lambda *_, **__: RBACManager([everything, Role("writer")]))
    planted.change(
        "web_search: {side_effect: read, egress: true",
        "delete_x: {side_effect: read}\n  web_search: {side_effect: read, egress: true",
    )

    item = probe.probe_denied_tools(planted.project())

    assert (item.status, "delete_x by researcher" in item.evidence) == (Status.FAILED, True)


def test_the_probe_of_denied_tools_tries_what_roles_deny(planted: Planted) -> None:
    """Per agent an undeclared tool and each denied one; for a stranger every tool."""
    item = probe.probe_denied_tools(planted.project())

    assert item.evidence.startswith("7 denied calls")


# -- certificates ---------------------------------------------------------------------------------------------------


def test_with_a_ca_its_service_and_listeners_are_tried_without_a_certificate(planted: Planted) -> None:
    Authority.create(planted.home, "agents.example.org").close()

    found = planted.items("certificates-last", "probe-no-certificate")

    assert [item.status for item in found.values()] == [Status.OK, Status.OK]


def test_a_root_near_its_end_is_told(planted: Planted) -> None:
    """An issuing CA that follows in time does not hide it."""
    start = planted.project().clock()
    with closing(Authority.create(planted.home, "agents.example.org")) as authority:
        root = authority.schedule()[0]
    later = start + timedelta(days=350).total_seconds()
    with closing(Authority(planted.home, clock=lambda: later)) as authority:
        authority.rotate()
    planted.ahead = timedelta(days=350, hours=2)

    item = planted.items("certificates-last")["certificates-last"]

    assert root.until > later
    assert (item.status, "near the end" in item.evidence) == (Status.WEAK, True)


def test_a_listener_that_asks_for_no_certificate_is_found(tmp_path: Path) -> None:
    with closing(Authority.create(Home.create(tmp_path / "home"), "agents.example.org")) as authority:
        context = server_context(authority.identity(authority.agent_id("one")))
    strict = certificates._handshake(context)
    context.verify_mode = ssl.CERT_OPTIONAL

    assert (strict, certificates._handshake(context)) == (False, True)


# -- canaries -------------------------------------------------------------------------------------------------------


@pytest.fixture
def adapter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], str]:
    """Makes an adapter's package; the framework it needs may be one that nobody has."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(floors: str, canary: str) -> str:
        package = tmp_path / "agentguard_trial"
        package.mkdir()
        (package / "__init__.py").write_text("from . import versions\n")
        (package / "versions.py").write_text(f"FLOORS = {floors}\n")
        (package / "canary.py").write_text(canary)
        return package.name

    return made


@pytest.mark.parametrize(
    ("floors", "canary", "status"),
    [
        pytest.param("{'pytest': (1,)}", "def prove_hooks():\n    pass\n", Status.OK, id="hooks-fire"),
        pytest.param("{'pytest': (1,)}", "def prove_hooks():\n    raise ValueError('no hook')\n", Status.FAILED,
                     id="hooks-do-not-fire"),
        pytest.param("{'pytest': (99,)}", "raise ValueError('too old')\n", Status.FAILED, id="framework-too-old"),
        pytest.param("{'no-such-framework': (1,)}", "raise ValueError('absent')\n", None, id="framework-absent"),
        pytest.param("{}", "import os\nos._exit(9)\n", Status.FAILED, id="canary-dies"),
        pytest.param("{}", "import time\ntime.sleep(60)\n", Status.NOT_CHECKED, id="canary-hangs"),
    ],
)  # fmt: skip
def test_an_adapter_is_found_and_its_canary_run(
    planted: Planted, adapter: Callable[[str, str], str], monkeypatch: pytest.MonkeyPatch, floors: str, canary: str,
    status: Status | None,
) -> None:  # fmt: skip
    name = adapter(floors, canary)
    monkeypatch.setattr(hooks, "TIMEOUT_S", 1.0 if status is Status.NOT_CHECKED else 60.0)

    item = hooks.prove(name)(planted.project())

    assert name in hooks.adapters()
    assert (None if item is None else item.status) == status


def test_the_canary_of_a_real_adapter_runs(planted: Planted) -> None:
    """LangChain is in the development environment."""
    item = hooks.prove("agentguard_langchain")(planted.project())

    assert item is not None
    assert (item.status, item.evidence) == (
        Status.OK,
        "the canary of agentguard_langchain saw every hook fire, with effect",
    )
