"""Questions that wait for a person in the state database, across restarts; each yes is used at most once.

A question is kept under the digest of its ``ApprovalRequest``. Whoever brings a yes back must have the same call about
to run: the digest is computed again from what will run, with the expiry that was asked for. Using the yes up is one
conditional UPDATE, so of several processes exactly one succeeds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

from agentguard.access.approval import ApprovalRequest
from agentguard.store import begin_immediate

if TYPE_CHECKING:
    from sqlalchemy import Engine, MetaData, Table

__all__ = ["PendingApprovals", "Refusal"]

# Why an answer does not count, as the reason in the record.
Refusal = Literal["approval-unknown", "approval-mismatch", "approval-expired", "approval-used"]

# Seconds for which an expired question is kept, so that a late answer is told apart from one to no question.
KEPT_S = 86_400.0


class PendingApprovals:
    """The open questions of one home.

    Args:
        engine: opens the database whose schema ``define`` is part of; called once, at the first question.
        clock: seconds since 1970.
    """

    def __init__(self, engine: Callable[[], Engine], *, clock: Callable[[], float] = time.time) -> None:
        self._open = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: Engine | None = None

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database. It holds digests and times, no argument of any call."""
        from sqlalchemy import Column, Float, String, Table

        return Table(
            "approval",
            metadata,
            Column("digest", String(64), primary_key=True),
            Column("expires_at", Float, nullable=False),
            Column("used_at", Float),
        )

    def keep(self, request: ApprovalRequest) -> None:
        """Remember that this was asked. Questions that expired long ago are deleted.

        Raises:
            StoreError, sqlalchemy.exc.SQLAlchemyError: the database cannot be used.
        """
        from sqlalchemy import text

        with begin_immediate(self._engine) as connection:
            connection.execute(text("DELETE FROM approval WHERE expires_at <= :old"), {"old": self._clock() - KEPT_S})
            connection.execute(
                text("INSERT INTO approval (digest, expires_at) VALUES (:digest, :expires_at)"),
                {"digest": request.digest, "expires_at": request.expires_at},
            )

    def use(self, request: ApprovalRequest, digest: str) -> Refusal | None:
        """Use up the yes that was given under ``digest`` for what ``request`` says will run; None when that worked.

        Raises:
            StoreError, sqlalchemy.exc.SQLAlchemyError: the database cannot be used.
        """
        from sqlalchemy import text

        now = self._clock()
        with begin_immediate(self._engine) as connection:
            found = connection.execute(
                text("SELECT expires_at FROM approval WHERE digest = :digest"), {"digest": digest}
            ).scalar_one_or_none()
            if found is None:
                return "approval-unknown"
            asked = replace(request, expires_at=float(found))
            if asked.digest != digest:
                return "approval-mismatch"
            if asked.expired(now):
                return "approval-expired"
            done = connection.execute(
                text("UPDATE approval SET used_at = :now WHERE digest = :digest AND used_at IS NULL"),
                {"now": now, "digest": digest},
            )
            return None if done.rowcount == 1 else "approval-used"

    def give_back(self, digest: str) -> None:
        """The call it was used for paused itself before it ended, and will start again from its beginning."""
        from sqlalchemy import text

        with begin_immediate(self._engine) as connection:
            connection.execute(text("UPDATE approval SET used_at = NULL WHERE digest = :digest"), {"digest": digest})

    def close(self) -> None:
        """Close the database's connections."""
        with self._lock:
            if self._opened is not None:
                self._opened.dispose()

    @property
    def _engine(self) -> Engine:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened
