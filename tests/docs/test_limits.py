"""What the pages say of limits, headers and approvals, run as it stands; each with a case that is refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from agentguard import ConfigError, Conversation, Effect, Policy, Principal, ToolCall
from agentguard.dryrun import dry_guard
from agentguard.http import API
from tests.docs.pages import ROOT, blocks, commands, files, run

HTTP = (ROOT / "docs" / "http.md").read_text()
APPROVALS = (ROOT / "docs" / "approvals.md").read_text()
POLICY = (ROOT / "docs" / "policy.md").read_text()


def test_the_rates_of_the_policy_page_hold_together_for_tools() -> None:
    """Two dear calls use ten a minute up; the third of any tool is refused with the wait."""
    policy = Policy.parse(files(POLICY)["rates.yaml"])
    run = Conversation(principal=Principal("bot"))

    with dry_guard(policy) as guard:
        found = [guard.check(ToolCall(tool, {}), run=run) for tool in ("render", "render", "search")]

    assert [each.effect for each in found] == [Effect.ALLOW, Effect.ALLOW, Effect.DENY]
    assert found[2].retry_after is not None


def _module(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.chdir(folder)
    namespace: dict[str, Any] = {"__name__": "page"}
    exec(code, namespace)
    return namespace


def test_the_asgi_application_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own script may run, an injected one may not; a client's own forwarded header is not believed."""
    app = _module(files(HTTP)["asgi.py"], tmp_path, monkeypatch)["app"]

    with TestClient(app, base_url="https://t.example") as client:
        page, answer = client.get("/"), client.get("/answer")

    csp = page.headers["content-security-policy"]
    (nonce,) = re.findall('nonce="([^"]+)"', page.text)
    assert f"script-src 'self' 'nonce-{nonce}'" in csp
    assert "unsafe-inline" not in csp
    assert answer.headers["content-security-policy"].startswith("default-src 'none'")
    assert answer.headers["strict-transport-security"]


def test_the_wsgi_application_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    app = _module(files(HTTP)["wsgi.py"], tmp_path, monkeypatch)["app"]

    found = app.test_client().get("/", base_url="http://t.example")

    (nonce,) = re.findall('nonce="([^"]+)"', found.get_data(as_text=True))
    assert f"'nonce-{nonce}'" in found.headers["Content-Security-Policy"]
    assert "Strict-Transport-Security" not in found.headers


def test_the_single_responses_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was set stays; a value that would end the header is refused."""
    names = _module(files(HTTP)["one.py"], tmp_path, monkeypatch)

    assert names["headers"]["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    assert names["framed"]["Content-Security-Policy"].endswith("frame-ancestors https://portal.example.com")
    with pytest.raises(ConfigError):
        names["replace"](names["PAGE"], frame_ancestors="x\r\nSet-Cookie: a=b")
    _module(files(HTTP)["worker.py"], tmp_path, monkeypatch)


def test_the_table_of_headers_names_every_header() -> None:
    sent = API.missing({}, https=True, nonce=None)

    assert all(f"`{name}`" in HTTP for name, _ in sent)


def test_the_approvals_page_is_what_happens(tmp_path: Path) -> None:
    """Every command in order, with the question's digest put in; the agent's own yes is refused."""
    project, bin_folder = tmp_path / "project", commands(tmp_path / "bin")
    project.mkdir()
    for name, content in files(APPROVALS).items():
        (project / name).write_text(content)
    (block,) = blocks(APPROVALS)
    digest = ""
    for command, expected in block:
        shown = run(command.replace("QUESTION", digest), project, bin_folder)
        if command.endswith("approvals list"):
            digest = re.findall(r"^([0-9a-f]{16})", shown, re.MULTILINE)[0]
        if expected:
            assert shown == expected, command

    own = run(f"{sys.executable} -c \"exec(open('page.py').read()); print(refusal)\"", project, bin_folder)

    assert own == "approval-own\n"
