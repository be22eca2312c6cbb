"""Weaknesses that are planted in the sound project: what is done, and the id of the item that must find it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from agentguard import SecureSessionManager
from agentguard.assembly import roles_of
from agentguard.audit import AuditLog
from agentguard.channel import Authority
from agentguard.keys import KeyVault
from agentguard.policy import Policy
from agentguard.posture import Status
from tests.posture.project import PASSWORD, Planted

__all__ = ["WEAKNESSES", "Plant"]

Plant = Callable[[Planted], None]


def _policy(*changes: tuple[str, str]) -> Plant:
    def plant(planted: Planted) -> None:
        for old, new in changes:
            planted.change(old, new)

    return plant


def _session(*, days_unused: float, minutes: float) -> Plant:
    def plant(planted: Planted) -> None:
        with SecureSessionManager(home=planted.home, idle_minutes=minutes, absolute_minutes=minutes) as sessions:
            sessions.create_session_token("bob", expires_in_minutes=minutes)
        planted.ahead = timedelta(days=days_unused)

    return plant


def _role(*, expires_days: float | None, later_days: float = 0.0) -> Plant:
    def plant(planted: Planted) -> None:
        with (
            AuditLog.open(planted.home) as log,
            closing(roles_of(Policy.from_file(planted.policy_path), home=planted.home, log=log)) as rbac,
        ):
            rbac.assign_role("bob", "approver", expires_in=expires_days and expires_days * 86_400.0)
        planted.ahead = timedelta(days=later_days)

    return plant


def _unrecorded_role(planted: Planted) -> None:
    with closing(sqlite3.connect(planted.home_path / "state.db")) as connection, connection:
        connection.execute("INSERT INTO role_assignment VALUES ('user', 'eve', 'admin', '', '', 99999999999)")


def _undefined_role(planted: Planted) -> None:
    planted.change("approver: {permissions: [read_data]}", "confirmer: {permissions: [read_data]}")
    planted.change("role: approver", "role: confirmer")


def _mode(name: str, mode: int) -> Plant:
    def plant(planted: Planted) -> None:
        path = planted.folder / name
        path.touch()
        path.chmod(mode)

    return plant


def _link(planted: Planted) -> None:
    (planted.home_path / "redis.url").symlink_to(planted.policy_path)


def _log(statement: str) -> Plant:
    def plant(planted: Planted) -> None:
        with closing(sqlite3.connect(planted.home_path / "audit.db")) as connection, connection:
            connection.execute(statement)

    return plant


def _no_pin(planted: Planted) -> None:
    planted.home.verifier_path.unlink()


def _died(planted: Planted) -> None:
    """A writer that ended without a word."""
    script = (
        "import os, sys; from agentguard import AuditLog, Home; log = AuditLog.open(Home.open(sys.argv[1]));"
        "log.append({'type': 'note'}, durable=True).result(); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", script, str(planted.home_path)], check=True, timeout=60)
    planted.ahead = timedelta(days=1)


def _no_anchor(planted: Planted) -> None:
    planted.anchor.unlink()


def _near_anchor(planted: Planted) -> None:
    planted.anchor = Path(shutil.move(planted.anchor, planted.home_path / "anchor.json"))


def _old_anchor(planted: Planted) -> None:
    at = planted.anchor.stat().st_mtime - 30 * 86_400
    os.utime(planted.anchor, (at, at))


def _rollback(planted: Planted) -> None:
    """The whole folder as it was before the anchor was moved on."""
    shutil.copytree(planted.home_path, planted.folder / "backup")
    with AuditLog.open(planted.home) as log:
        log.append({"type": "note"}, durable=True).result()
    from agentguard.audit import verify

    verify(planted.home, anchor=planted.anchor)
    shutil.rmtree(planted.home_path)
    shutil.move(planted.folder / "backup", planted.home_path)


def _later(days: float) -> Plant:
    def plant(planted: Planted) -> None:
        planted.ahead = timedelta(days=days)

    return plant


def _expired_key(planted: Planted) -> None:
    with KeyVault(PASSWORD, home=planted.home) as vault:
        vault.store_api_key("sms", "sms-key-value-1234", expires_in=timedelta(days=1))
    planted.ahead = timedelta(days=2)


def _ca(days: float) -> Plant:
    def plant(planted: Planted) -> None:
        Authority.create(planted.home, "agents.example.org").close()
        planted.ahead = timedelta(days=days)

    return plant


# Name, item, status, and how it is planted. These need the policy only.
_OF_THE_POLICY: list[tuple[str, str, Status, Plant]] = [
    ("shadow-mode-left-on", "mode-enforced", Status.FAILED, _policy(("mode: enforce", "mode: shadow"))),
    ("a-tool-in-shadow", "mode-enforced", Status.WEAK,
     _policy(("side_effect: destructive", "side_effect: destructive\n    mode: shadow"))),
    ("unsafe-open", "log-fails-closed", Status.FAILED, _policy(("fail: closed", "fail: unsafe-open"))),
    ("payloads-in-the-log", "payloads-kept-out", Status.WEAK, _policy(("payloads: digest", "payloads: full"))),
    ("secrets-not-redacted", "redaction-on", Status.FAILED, _policy(("redact: [secret, pii]", "redact: []"))),
    ("personal-data-not-redacted", "redaction-on", Status.WEAK, _policy(("redact: [secret, pii]", "redact: [secret]"))),
    ("injection-off", "injection-on", Status.FAILED, _policy(("tool: strip", 'tool: "off"'))),
    ("injection-only-reported", "injection-on", Status.WEAK, _policy(("user: block", "user: report"))),
    ("threshold-permissive", "thresholds-strong", Status.WEAK,
     _policy(("threshold: balanced", "threshold: permissive"))),
    ("threshold-too-high-for-one", "thresholds-strong", Status.WEAK,
     _policy(("threshold: balanced", "threshold: balanced, thresholds: {retriever: 0.9}"))),
    ("markup-off", "markup-on", Status.FAILED, _policy(("markup: block", 'markup: "off"'))),
    ("unicode-off", "unicode-on", Status.FAILED, _policy(("unicode: strip", 'unicode: "off"'))),
    ("intent-off", "intent-required", Status.WEAK, _policy(("audit: {", 'flow: {intent: "off"}\naudit: {'))),
    ("no-limit-on-side-effects", "rates-set", Status.FAILED, _policy((", default: 60/minute", ""))),
    ("no-limit-on-models", "rates-set", Status.WEAK, _policy(("model: 60/minute, ", ""))),
    ("limit-per-process", "rates-shared", Status.WEAK,
     _policy(("rate: 5/minute", "rate: {limit: 5/minute, scope: process}"))),
    ("limits-local-when-down", "rates-down", Status.WEAK,
     _policy(("rates: {", "rates: {when_down: local, "))),
    ("nobody-to-ask", "approvals-answered", Status.WEAK, _policy(("approver: queue, ", ""))),
    ("requester-confirms", "approvals-answered", Status.WEAK,
     _policy(("approver: queue,", "approver: queue, own: allow,"))),
    ("deletion-unconfirmed", "dangerous-tools-approved", Status.WEAK, _policy(("    approval: always\n", ""))),
    ("unlabelled-argument", "tools-labelled", Status.WEAK,
     _policy(("note_id: {sink: id, sources: [user], required: true}", "note_id: {max_length: 9}"))),
    ("label-suspicious", "labels-plausible", Status.WEAK,
     _policy(("to: {sink: recipient, sources: [user], required: true}", "to: {content: true}"))),
    ("review-mark-left", "review-done", Status.WEAK,
     _policy(("side_effect: send", "side_effect: send  # REVIEW: guessed"))),
    ("rule-never-applies", "policy-consistent", Status.WEAK,
     _policy(("[web_search, send_email, delete_note]", "[web_search, send_email, send_email, delete_note]"))),
    ("role-unused", "roles-used", Status.WEAK,
     _policy(("roles:\n", "roles:\n  intern: {permissions: [read_data]}\n"))),
    ("role-permits-everything", "roles-narrow", Status.WEAK,
     _policy(("tools: [web_search, send_email, delete_note]", 'tools: ["*"]'))),
    ("agent-is-admin", "roles-narrow", Status.WEAK,
     _policy(("writer: {permissions: [execute_agent]", "writer: {permissions: [admin]"))),
    ("policy-does-not-load", "policy-loads", Status.FAILED, _policy(("version: 1", "version: 1\nunknown: 1"))),
]  # fmt: skip
WEAKNESSES: list[tuple[str, str, Status, Plant]] = [
    *_OF_THE_POLICY,
    ("copy-of-a-key-open", "home-private", Status.FAILED, _mode(".agentguard/kek.key.bak", 0o644)),
    ("folder-open", "home-private", Status.FAILED, lambda planted: planted.home_path.chmod(0o755)),
    ("a-link-in-the-home", "home-private", Status.FAILED, _link),
    ("policy-writable-by-others", "policy-protected", Status.FAILED, _mode("agentguard.yaml", 0o666)),
    ("policy-folder-writable", "policy-protected", Status.FAILED, lambda planted: planted.folder.chmod(0o777)),
    ("log-in-plain", "log-encrypted", Status.FAILED,
     _log("""UPDATE frame SET ciphertext = CAST('{"type":"decision","time":""}' AS BLOB) WHERE number = 1""")),
    ("log-truncated", "log-verified", Status.FAILED,
     _log("DELETE FROM frame WHERE number = (SELECT max(number) FROM frame)")),
    ("log-key-unpinned", "log-pinned", Status.FAILED, _no_pin),
    ("writer-died", "log-fresh", Status.FAILED, _died),
    ("no-anchor", "log-anchored", Status.WEAK, _no_anchor),
    ("anchor-beside-the-log", "log-anchored", Status.WEAK, _near_anchor),
    ("anchor-old", "log-anchored", Status.WEAK, _old_anchor),
    ("folder-rolled-back", "log-anchored", Status.FAILED, _rollback),
    ("api-key-old", "api-keys-rotated", Status.WEAK, _later(100)),
    ("api-key-expired", "api-keys-rotated", Status.FAILED, _expired_key),
    ("session-unused", "sessions-cleaned", Status.WEAK, _session(days_unused=10, minutes=30 * 1440)),
    ("ended-sessions-left", "sessions-cleaned", Status.WEAK, _session(days_unused=3, minutes=30)),
    ("role-without-end", "permissions-reviewed", Status.WEAK, _role(expires_days=None)),
    ("role-not-confirmed", "permissions-reviewed", Status.WEAK, _role(expires_days=400, later_days=100)),
    ("role-nobody-recorded", "permissions-reviewed", Status.WEAK, _unrecorded_role),
    ("role-undefined", "roles-defined", Status.FAILED, _undefined_role),
    ("issuing-ca-not-followed", "certificates-last", Status.WEAK, _ca(6)),
    ("issuing-ca-over", "certificates-last", Status.FAILED, _ca(8)),
    ("denied-tool-runs", "probe-denied-tools", Status.FAILED, _policy(("mode: enforce", "mode: shadow"))),
    ("orders-pass", "probe-malicious-prompts", Status.FAILED, _policy(("user: block", 'user: "off"'))),
    ("script-passes", "probe-malicious-prompts", Status.FAILED, _policy(("markup: block", 'markup: "off"'))),
]  # fmt: skip
