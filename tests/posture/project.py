"""A project whose guard is sound: every weakness of the tests is planted in a copy of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from agentguard import AuditLog, Guard, Home, Principal, SecureAPIKeyManager, SecureSessionManager, ToolCall
from agentguard.assembly import roles_of
from agentguard.audit import verify
from agentguard.policy import Policy
from agentguard.posture import Item, Project, checks, examine

PASSWORD = "correct horse battery staple 42"

POLICY = """\
version: 1
mode: enforce
roles:
  reader: {permissions: [read_data, execute_agent], tools: [web_search], deny: ["delete_*"]}
  writer: {permissions: [execute_agent], tools: [web_search, send_email, delete_note]}
  approver: {permissions: [read_data]}
agents:
  researcher: {roles: [reader]}
  editor: {roles: [writer]}
tools:
  web_search: {side_effect: read, egress: true, args: {query: {content: true}}}
  send_email:
    side_effect: send
    args:
      to: {sink: recipient, sources: [user], required: true}
      body: {content: true}
    extra_args: deny
    approval: when-untrusted
    rate: 5/minute
  delete_note:
    side_effect: destructive
    args: {note_id: {sink: id, sources: [user], required: true}}
    approval: always
input: {injection: {user: block, tool: strip, agent: strip, threshold: balanced}, unicode: strip, redact: [secret]}
output: {redact: [secret, pii], markup: block}
rates: {model: 60/minute, default: 60/minute}
approval: {approver: queue, role: approver}
audit: {payloads: digest, fail: closed}
"""


class Planted:
    """A project in a folder, with what a living one has: a log, an anchor, an API key, a session, a role."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.policy_path = folder / "agentguard.yaml"
        self.home_path = folder / ".agentguard"
        self.anchor = folder / "elsewhere" / "anchor.json"
        self.ahead = timedelta(0)

    @classmethod
    def sound(cls, folder: Path) -> Planted:
        """Nothing is wrong with it."""
        made = cls(folder)
        made.policy_path.write_text(POLICY)
        made.policy_path.chmod(0o644)
        made.anchor.parent.mkdir()
        home = Home.create(made.home_path)
        with Guard.from_file(made.policy_path, home=made.home_path) as guard:
            for tool in ("web_search", "send_email", "nothing"):
                with guard.conversation(Principal("editor"), "look it up"):
                    guard.check(ToolCall(tool, {"query": "weather"}))
        with SecureAPIKeyManager(PASSWORD, home=home) as vault:
            vault.store_api_key("mail", "sk-of-the-mail-service-1234")
        with AuditLog.open(home) as log:
            with SecureSessionManager(home=home, log=log) as sessions:
                sessions.create_session_token("ann")
            rbac = roles_of(Policy.from_file(made.policy_path), home=home, log=log)
            rbac.assign_role("ann", "approver", expires_in=30 * 86_400.0)
            rbac.close()
        verify(home, anchor=made.anchor)
        return made

    @property
    def home(self) -> Home:
        return Home.open(self.home_path)

    def change(self, old: str, new: str) -> None:
        """Write another policy."""
        text = self.policy_path.read_text()
        assert old in text
        self.policy_path.write_text(text.replace(old, new))

    def project(self) -> Project:
        """As the posture check sees it, at a time of the test's choice."""
        import time

        moment = time.time() + self.ahead.total_seconds()
        return Project(self.home_path, self.policy_path, anchor=self.anchor, clock=lambda: moment)

    def items(self, *ids: str) -> dict[str, Item]:
        """The answers of these checks, in a fresh look at the project."""
        which = [check for check in checks() if not ids or check.id in ids]
        return {item.id: item for item in examine(self.project(), which=which)}
