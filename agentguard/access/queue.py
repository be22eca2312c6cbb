"""Questions to people that wait in the state database, and their answers; each yes runs one call, once.

A question lies there sealed under the home's key, and so does its answer: who can write to the database but has no key
can forge neither. An answer counts for exactly what was asked (``ApprovalRequest.digest``), until its expiry, when
whoever gave it holds the role that the rule asks for; it is used up by one conditional UPDATE.
"""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from agentguard.access.approval import (
    ApprovalRequest,
    canonical,
    principal_json,
    principal_of,
    request_json,
    request_of,
)
from agentguard.access.statefile import StateFile
from agentguard.errors import ConfigError, DecryptError, StoreError
from agentguard.event import Json, Principal
from agentguard.store import begin_immediate, storage_errors

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, MetaData, Table

__all__ = ["Answer", "ApprovalQueue", "Question", "QueueApprover", "Refusal", "Sealer", "Terms"]

# Why an answer is not taken, or does not count: the reason in a record.
Refusal: TypeAlias = Literal[
    "approval-unknown", "approval-mismatch", "approval-expired", "approval-used", "approval-answered",
    "approval-own", "approval-role", "approval-tenant", "approval-pending", "approval-refused",
]  # fmt: skip
State: TypeAlias = Literal["open", "approved", "refused", "used", "expired"]
Roles: TypeAlias = Callable[[Principal], "tuple[str, ...]"]

# Seconds for which an ended question is kept, so that a late answer is told apart from one to no question.
KEPT_S = 86_400.0
# An agent that asks in circles must not bury the questions that matter.
MAX_OPEN = 1_000
# A digest may be shortened to so many characters when it names a question.
MIN_DIGEST_CHARS = 8


class Sealer(Protocol):
    """Authenticated encryption under the home's key: ``keys.DataEncryption``."""

    def seal(self, data: bytes, *, associated_data: bytes = b"") -> bytes: ...

    def open(self, sealed: bytes, *, associated_data: bytes = b"") -> bytes: ...


@dataclass(frozen=True, slots=True)
class Terms:
    """Who may answer. ``role``: one that the approver must hold; ``own``: whether the requester may."""

    role: str = ""
    own: bool = False

    def refuse(self, request: ApprovalRequest, approver: Principal, held: tuple[str, ...]) -> Refusal | None:
        """Why ``approver``, who holds the roles ``held``, may not answer; None when that is fine.

        Whoever belongs to a tenant answers for that tenant's calls only. The requester is the agent: the user it acts
        for may confirm, unless a role is asked for; then somebody else than anyone in the chain must.
        """
        if approver.tenant is not None and approver.tenant not in _tenants(request.principal):
            return "approval-tenant"
        requester: Principal | None = request.principal
        while requester is not None and not self.own:
            if requester.id == approver.id:
                return "approval-own"
            requester = requester.on_behalf_of if self.role else None
        if self.role and self.role not in held:
            return "approval-role"
        return None


@dataclass(frozen=True, slots=True)
class Answer:
    """A yes or no, whose, and when (seconds since 1970)."""

    approved: bool
    by: Principal
    at: float


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked, under which terms, and what has come of it so far. Times in seconds since 1970."""

    request: ApprovalRequest
    terms: Terms
    asked_at: float
    answer: Answer | None = None
    used_at: float | None = None

    @property
    def digest(self) -> str:
        """Names the question, and binds its answer."""
        return self.request.digest

    def state(self, now: float) -> State:
        """Where it stands at ``now``."""
        if self.used_at is not None:
            return "used"
        if self.answer is not None and not self.answer.approved:
            return "refused"
        if self.request.expired(now):
            return "expired"
        return "open" if self.answer is None else "approved"


class ApprovalQueue:
    """The questions of one home. Thread-safe, and safe from several processes.

    Args:
        opened: gives the database whose schema ``define`` is part of, and the home's seal; called at first use.
        roles: the roles that an approver holds; looked up when an answer is given and again when it is used.
        clock: seconds since 1970.
    """

    def __init__(
        self, opened: Callable[[], tuple[Engine, Sealer]], *, roles: Roles, clock: Callable[[], float] = time.time
    ) -> None:
        self._open = opened
        self._roles = roles
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: tuple[Engine, Sealer, StateFile] | None = None

    @staticmethod
    def define(metadata: MetaData) -> Table:
        """Add the table to the schema of the state database. No argument of any call stands there readable."""
        from sqlalchemy import Column, Float, LargeBinary, String, Table

        return Table(
            "question",
            metadata,
            Column("digest", String(64), primary_key=True),
            Column("binding", String(64), nullable=False, index=True),
            Column("asked_at", Float(53), nullable=False),
            Column("expires_at", Float(53), nullable=False),
            Column("sealed", LargeBinary, nullable=False),
            Column("answer", LargeBinary),
            Column("used_at", Float(53)),
        )

    def ask(self, request: ApprovalRequest, terms: Terms) -> Question:
        """Put the question; the same call asked about before, and not yet run, gets its earlier question again.

        Raises:
            StoreError: the database cannot be used, or too many questions are open.
        """
        now, binding = self._clock(), _binding(request, terms)
        with self._transaction() as connection:
            _run(connection, "DELETE FROM question WHERE expires_at <= :old", old=now - KEPT_S)
            row = _run(
                connection,
                _SELECT + "WHERE binding = :binding AND used_at IS NULL AND expires_at > :now "
                "ORDER BY asked_at DESC LIMIT 1",
                binding=binding,
                now=now,
            ).first()
            if row is not None:
                return self._read(row)
            count = "SELECT count(*) FROM question WHERE answer IS NULL AND expires_at > :now"
            if _run(connection, count, now=now).scalar_one() >= MAX_OPEN:
                raise StoreError(f"{MAX_OPEN} questions wait for answers already; answer or refuse some")
            question = Question(request, terms, now)
            _run(
                connection,
                "INSERT INTO question (digest, binding, asked_at, expires_at, sealed) "
                "VALUES (:digest, :binding, :now, :expires_at, :sealed)",
                digest=question.digest,
                binding=binding,
                now=now,
                expires_at=request.expires_at,
                sealed=self._sealed("question", question.digest, _question_json(question)),
            )
            return question

    def find(self, digest: str) -> Question | None:
        """The question with this digest, or the one whose digest begins so; None when there is none, or several.

        Raises:
            DecryptError: it was sealed under another key, or changed.
            StoreError: the database cannot be used.
        """
        if len(digest) < MIN_DIGEST_CHARS or not set(digest) <= set("0123456789abcdef"):
            return None
        with self._transaction() as connection:
            rows = _run(connection, _SELECT + "WHERE digest LIKE :start LIMIT 2", start=digest + "%").all()
        return self._read(rows[0]) if len(rows) == 1 else None

    def questions(self, *, ended: bool = False) -> tuple[list[Question], int]:
        """Those that wait for an answer or for their call, oldest first; with ``ended`` all; how many do not open.

        Raises:
            StoreError: the database cannot be used.
        """
        with self._transaction() as connection:
            rows = _run(connection, _SELECT + "ORDER BY asked_at, digest").all()
        found, unreadable, now = [], 0, self._clock()
        for row in rows:
            try:
                question = self._read(row)
            except DecryptError:
                unreadable += 1
            else:
                found.append(question)
        return [each for each in found if ended or each.state(now) in ("open", "approved")], unreadable

    def answer(
        self, digest: str, *, by: Principal, approved: bool, record: Callable[[Question, Answer], None]
    ) -> Refusal | None:
        """Answer a question, once; None when that was taken.

        A no is taken from everybody who may use the home. ``record`` is called inside: when it raises, nothing changed.

        Raises:
            DecryptError, StoreError: as ``find``.
        """
        question = self.find(digest)
        if question is None:
            return "approval-unknown"
        if approved and (refusal := question.terms.refuse(question.request, by, self._roles(by))):
            return refusal
        given = Answer(approved, by, self._clock())
        with self._transaction() as connection:
            done = _run(
                connection,
                "UPDATE question SET answer = :answer "
                "WHERE digest = :digest AND answer IS NULL AND used_at IS NULL AND expires_at > :now",
                answer=self._sealed("answer", question.digest, _answer_json(given)),
                digest=question.digest,
                now=given.at,
            )
            if done.rowcount == 1:
                record(question, given)
                return None
        return "approval-expired" if question.request.expired(given.at) else "approval-answered"

    def use(self, request: ApprovalRequest, digest: str) -> Refusal | None:
        """Use up the yes given under ``digest`` for what ``request`` says will run; None when that worked.

        Raises:
            DecryptError, StoreError: as ``find``.
        """
        question, now = self.find(digest), self._clock()
        if question is None or question.digest != digest:
            return "approval-unknown"
        if replace(request, expires_at=question.request.expires_at).digest != digest:
            return "approval-mismatch"
        if question.used_at is not None:
            return "approval-used"
        if question.request.expired(now):
            return "approval-expired"
        given = question.answer
        if given is None:
            return "approval-pending"
        if not given.approved:
            return "approval-refused"
        if refusal := question.terms.refuse(question.request, given.by, self._roles(given.by)):
            return refusal
        with self._transaction() as connection:
            done = _run(
                connection,
                "UPDATE question SET used_at = :now "
                "WHERE digest = :digest AND used_at IS NULL AND answer IS NOT NULL AND expires_at > :now",
                now=now,
                digest=digest,
            )
            return None if done.rowcount == 1 else "approval-used"

    def close(self) -> None:
        """Close the database's connections, and those of the roles."""
        close = getattr(self._roles, "close", None)
        if close is not None:
            close()
        with self._lock:
            if self._opened is not None:
                self._opened[0].dispose()

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        engine, _, file = self._parts()
        file.check()
        with storage_errors(engine), begin_immediate(engine) as connection:
            yield connection

    def _parts(self) -> tuple[Engine, Sealer, StateFile]:
        with self._lock:
            if self._opened is None:
                engine, sealer = self._open()
                self._opened = (engine, sealer, StateFile(engine))
            return self._opened

    def _sealed(self, kind: str, digest: str, value: Json) -> bytes:
        data = json.dumps(value, separators=(",", ":")).encode()
        return self._parts()[1].seal(data, associated_data=_bound(kind, digest))

    def _opened_json(self, kind: str, digest: str, sealed: bytes) -> Any:
        return json.loads(self._parts()[1].open(bytes(sealed), associated_data=_bound(kind, digest)))

    def _read(self, row: Any) -> Question:
        said = self._opened_json("question", row.digest, row.sealed)
        question = Question(
            request_of(said["request"]), Terms(said["role"], said["own"]), float(row.asked_at), used_at=row.used_at
        )
        if question.digest != row.digest:
            raise DecryptError("a question is not the one its digest names")
        if row.answer is None:
            return question
        answer = self._opened_json("answer", row.digest, row.answer)
        return replace(question, answer=Answer(answer["approved"] is True, principal_of(answer["by"]), answer["at"]))


@dataclass(frozen=True, slots=True)
class QueueApprover:
    """Asks through a queue. A call waits for ``wait`` seconds; later answers count when it is made again.

    Args:
        queue: where questions wait.
        terms: who may answer about a tool.
        wait: seconds a call waits at once; 0: not at all.
        expires: seconds for which a question can be answered and its yes be used.

    Raises:
        ConfigError: the times are out of range.
    """

    queue: ApprovalQueue
    terms: Callable[[str], Terms]
    wait: float = 300.0
    expires: float = 86_400.0

    def __post_init__(self) -> None:
        if not (0 <= self.wait <= self.expires < float("inf") and self.expires > 0):
            raise ConfigError(
                f"got wait={self.wait} and expires={self.expires}; seconds are accepted, wait not above expires"
            )

    def ask(self, request: ApprovalRequest) -> Question:
        """As ``ApprovalQueue.ask``, under the terms of the request's tool."""
        return self.queue.ask(request, self.terms(request.tool))


_SELECT = "SELECT digest, asked_at, sealed, answer, used_at FROM question "


def _run(connection: Connection, statement: str, **values: Any) -> Any:
    from sqlalchemy import text

    return connection.execute(text(statement), values)


def _tenants(principal: Principal) -> set[str | None]:
    found = {principal.tenant}
    while principal.on_behalf_of is not None:
        principal = principal.on_behalf_of
        found.add(principal.tenant)
    return found


def _bound(kind: str, digest: str) -> bytes:
    return f"agentguard approval {kind} 1\0{digest}".encode()


def _binding(request: ApprovalRequest, terms: Terms) -> str:
    """What two questions about the same call have in common: everything but when they expire."""
    said: Json = [replace(request, expires_at=0.0).digest, terms.role, terms.own]
    return hashlib.sha256(canonical(said).encode()).hexdigest()


def _question_json(question: Question) -> Json:
    return {"request": request_json(question.request), "role": question.terms.role, "own": question.terms.own}


def _answer_json(answer: Answer) -> Json:
    return {"approved": answer.approved, "by": principal_json(answer.by), "at": answer.at}
