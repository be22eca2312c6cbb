"""The project's ``.agentguard/`` folder, and where its two databases are: files in it, or PostgreSQL."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from agentguard.errors import ConfigError, StoreError
from agentguard.store.files import (
    atomic_file,
    check_file,
    check_folder,
    create_key_file,
    create_private,
    exists,
    is_ours,
    make_private_folder,
    os_errors,
)
from agentguard.store.postgresql import ServerUrl

__all__ = ["AUDIT_SCHEMA", "STATE_SCHEMA", "Home", "Place"]

STATE_SCHEMA = "agentguard_state"
AUDIT_SCHEMA = "agentguard_audit"

# A database: a SQLite file, or a schema on a PostgreSQL server.
Place = Path | ServerUrl


@dataclass(frozen=True, slots=True)
class Home:
    """The folder that holds a project's key file, audit log and state. Made by ``create``, found by ``open``.

    A database that ``state_server`` or ``audit_server`` names is on PostgreSQL, and has no file.
    """

    path: Path
    audit_path: Path
    state_server: ServerUrl | None = None
    audit_server: ServerUrl | None = None

    @property
    def state(self) -> Place:
        """The database of everything that changes: rates, sessions, approvals."""
        return self.state_server or self.state_path

    @property
    def audit(self) -> Place:
        """The database of the audit log."""
        return self.audit_server or self.audit_path

    @property
    def state_path(self) -> Path:
        """The file of the state database, where that is a file."""
        return self.path / "state.db"

    @property
    def databases_path(self) -> Path:
        """The URLs of the databases, in homes that have them on a server. They may hold a password."""
        return self.path / "databases.json"

    @property
    def key_path(self) -> Path:
        """The key encryption key, as ``agentguard.keys.KeyFile`` reads it."""
        return self.path / "kek.key"

    @property
    def password_path(self) -> Path:
        """Parameters of the master password, in homes that have one in place of a key file."""
        return self.path / "kek.json"

    @property
    def verifier_path(self) -> Path:
        """The log's public verifier key: a log that shows another key was replaced."""
        return self.path / "audit.vkey"

    @classmethod
    def create(cls, path: Path | str, *, state_url: str | None = None, audit_url: str | None = None) -> Home:
        """Make the folder with a fresh key and empty databases. What already exists and is safe is kept as it is.

        Args:
            state_url: PostgreSQL for the state database (``ServerUrl``); it is remembered in the folder, mode 0600.
            audit_url: the same for the audit log.

        Raises:
            ConfigError: a URL cannot be used, or the folder has its databases elsewhere already.
            StoreError: the folder or a file in it cannot be made, or exists and is not safe.
        """
        folder = Path(path)
        wanted = cls(
            folder,
            folder / "audit.db",
            ServerUrl.parse(state_url, schema=STATE_SCHEMA) if state_url else None,
            ServerUrl.parse(audit_url, schema=AUDIT_SCHEMA) if audit_url else None,
        )
        make_private_folder(folder)
        return wanted._settled()._filled()

    @classmethod
    def open(cls, path: Path | str) -> Home:
        """Find an existing folder.

        Raises:
            StoreError: it is missing, a link, not ours, open to others, or cannot be written.
        """
        home = cls._at(Path(path))
        # Never advise to change the mode of a folder that is something else. (What belongs to others cannot be told.)
        if is_ours(home.path) and not any(
            map(exists, (home.key_path, home.password_path, home.audit_path, home.verifier_path, home.databases_path))
        ):
            raise StoreError(f"{home.path} holds no AgentGuard key or log; run `agentguard init --home {home.path}`")
        check_folder(home.path)
        home = home._with_servers()
        for file in home._files():
            check_file(file)
        return home

    @classmethod
    def beside(cls, database: Path | str) -> Home:
        """The home of a log that lives in a file of the caller's choice: ``<database>.home/``, made when absent."""
        database = Path(database)
        home = cls(database.with_name(database.name + ".home"), database)
        with os_errors(home.path, "cannot be made"):
            home.path.mkdir(mode=0o700, exist_ok=True)
        check_folder(home.path)
        return home._filled()

    @classmethod
    def _at(cls, path: Path) -> Home:
        return cls(path, path / "audit.db")

    def _filled(self) -> Home:
        # A new key beside an old log would make every record unreadable: losing the key must be noticed, not mended.
        if not exists(self.key_path) and not exists(self.password_path):
            if exists(self.audit_path) and self.audit_path.stat().st_size > 0:
                raise StoreError(f"{self.key_path} is missing but the log it opens exists; restore the key file")
            create_key_file(self.key_path)
        for file in self._files():
            if not exists(file):
                create_private(file, b"")
            check_file(file)
        return self

    def _files(self) -> list[Path]:
        return [place for place in (self.audit, self.state) if isinstance(place, Path)]

    def _with_servers(self) -> Home:
        """The same home, with the servers that the folder remembers, and no others."""
        if not exists(self.databases_path):
            return replace(self, state_server=None, audit_server=None)
        check_file(self.databases_path)
        try:
            urls = json.loads(self.databases_path.read_bytes())
            if not isinstance(urls, dict) or not urls.keys() <= {"state", "audit"}:
                raise ValueError
            state = ServerUrl.parse(urls["state"], schema=STATE_SCHEMA) if "state" in urls else None
            audit = ServerUrl.parse(urls["audit"], schema=AUDIT_SCHEMA) if "audit" in urls else None
        except (ValueError, TypeError, AttributeError):
            # The cause may quote the file, and a password with it.
            raise StoreError(
                f"{self.databases_path} does not hold the databases' URLs; restore it, or run `agentguard init` anew"
            ) from None
        except OSError as error:
            raise StoreError(f"{self.databases_path} cannot be read ({error.strerror}); check its mode") from error
        return replace(self, state_server=state, audit_server=audit)

    def _settled(self) -> Home:
        """Remember the servers. What a file holds is not moved by naming a server."""
        known = self._with_servers()
        state = self.state_server or known.state_server
        audit = self.audit_server or known.audit_server
        for server, before, path in (
            (state, known.state_server, self.state_path),
            (audit, known.audit_server, self.audit_path),
        ):
            if server is not None and before is None and exists(path) and path.stat().st_size > 0:
                raise ConfigError(f"{path} is in use and is not moved to a server; make another home")
        if (state, audit) != (known.state_server, known.audit_server):
            servers = {"state": state, "audit": audit}
            urls = {kind: server.secret_text() for kind, server in servers.items() if server is not None}
            with atomic_file(self.databases_path) as file:
                file.write(json.dumps(urls).encode() + b"\n")
        return replace(self, state_server=state, audit_server=audit)
