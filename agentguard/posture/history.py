"""What earlier runs said, in the home's state database, so that drift shows."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agentguard.posture.item import Item, Status
from agentguard.store import Home, begin_immediate, open_state, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import MetaData, Table

__all__ = ["MAX_RUNS", "History", "Run", "drift"]

# A run an hour for six weeks; older ones go.
MAX_RUNS = 1_000


@dataclass(frozen=True, slots=True)
class Run:
    """One run: when (seconds since 1970), by which policy (its digest), and the status of each item."""

    at: float
    policy: str
    statuses: Mapping[str, Status]


class History:
    """The runs of one home. Any number of processes may append.

    Raises:
        StoreError: from every method, when the state database cannot be used.
    """

    def __init__(self, home: Home) -> None:
        from sqlalchemy import MetaData

        metadata = MetaData()
        self._home = home
        self._table = self.define(metadata)
        self._engine = open_state(home, metadata)

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database."""
        from sqlalchemy import Column, Float, String, Table, Text

        return Table(
            "posture_run",
            metadata,
            Column("id", String(32), primary_key=True),
            Column("at", Float(53), nullable=False, index=True),
            Column("policy", String(64), nullable=False),
            Column("statuses", Text, nullable=False),
        )

    def append(self, items: Sequence[Item], *, at: float, policy: str = "") -> None:
        """Keep one run; beyond ``MAX_RUNS`` the oldest go."""
        statuses = json.dumps({item.id: item.status.value for item in items})
        table = self._table
        newest = table.select().with_only_columns(table.c.id).order_by(table.c.at.desc(), table.c.id).limit(MAX_RUNS)
        with storage_errors(self._home.state), begin_immediate(self._engine) as connection:
            connection.execute(table.insert().values(id=secrets.token_hex(16), at=at, policy=policy, statuses=statuses))
            kept = list(connection.execute(newest).scalars())
            if len(kept) == MAX_RUNS:
                connection.execute(table.delete().where(table.c.id.not_in(kept)))

    def runs(self, limit: int = MAX_RUNS) -> list[Run]:
        """The newest runs, oldest first."""
        query = self._table.select().order_by(self._table.c.at.desc(), self._table.c.id).limit(limit)
        with storage_errors(self._home.state), self._engine.begin() as connection:
            rows = connection.execute(query).all()
        return [Run(row.at, row.policy, _statuses(row.statuses)) for row in reversed(rows)]

    def close(self) -> None:
        """Close the database's connections."""
        self._engine.dispose()


def _statuses(text: str) -> dict[str, Status]:
    known = {status.value for status in Status}
    return {name: Status(value) for name, value in json.loads(text).items() if value in known}


def drift(before: Mapping[str, Status], after: Mapping[str, Status]) -> dict[str, tuple[Status | None, Status | None]]:
    """Items whose status changed, that are new (None before) or that are gone (None after)."""
    names = [*after, *(name for name in before if name not in after)]
    return {name: (before.get(name), after.get(name)) for name in names if before.get(name) is not after.get(name)}
