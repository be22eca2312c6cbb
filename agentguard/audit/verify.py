"""Verification: is the log whole, in order, unaltered and readable?

Structure first (rows, chain, tree, signatures, index rows), which needs no secret; then content (keys open, records
fit their leaves, the index is complete). What the files alone cannot show is a rollback of the whole folder: that
takes an anchor, the last verified checkpoint remembered outside. Without one the verdict is never plain ``ok``.
"""

from __future__ import annotations

import enum
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, CursorResult, RowMapping, Select, func, select

from agentguard.audit import schema
from agentguard.audit.checkpoint import ZERO_HASH, Checkpoint, VerifierKey
from agentguard.audit.clock import Clock
from agentguard.audit.database import DAMAGE, storage_damage, unavailable
from agentguard.audit.frame import PREFIX_BYTES, Frame, tokens_digest
from agentguard.audit.keyring import RECORD, KeyRing, LogIdentity
from agentguard.audit.log import HEARTBEAT_S
from agentguard.audit.merkle import Frontier
from agentguard.audit.record import decode, decode_indexed, stamp, terms_of_frame
from agentguard.audit.shred import EVENT as SHRED_EVENT
from agentguard.audit.shred import Shred
from agentguard.errors import ConfigError, DecryptError, KeySourceError, StoreError, StoreUnavailable, TamperError
from agentguard.keys import KeySource, home_keys
from agentguard.store import Home, atomic_file, begin_snapshot, open_engine

__all__ = ["Verdict", "VerifyReport", "verify"]

# Rows fetched at a time: memory stays bounded whatever the log's size.
FETCH_ROWS = 256


class Verdict(enum.Enum):
    """What verification concludes."""

    OK = "ok"
    OK_UNANCHORED = "ok-unanchored"
    CORRUPT = "corrupt"
    TAMPERED = "tampered"
    TRUNCATED = "truncated"
    ROLLBACK = "rollback"
    STALE = "stale"
    KEY_MISSING = "key-missing"


_EXIT_CODES = {
    Verdict.OK: 0,
    Verdict.OK_UNANCHORED: 0,
    Verdict.CORRUPT: 10,
    Verdict.TAMPERED: 11,
    Verdict.TRUNCATED: 12,
    Verdict.ROLLBACK: 12,
    Verdict.STALE: 13,
    Verdict.KEY_MISSING: 14,
}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """The verdict and what it covers.

    ``records`` and ``frames`` count what was verified before the first problem; ``bad_frame`` is the number of the
    first frame that does not verify, None when the problem is not in a frame; ``content`` tells whether records were
    decrypted, or only the structure was checked; ``shredded`` counts records that were made unreadable on purpose, by a
    deletion that the log itself signed.
    """

    verdict: Verdict
    records: int
    frames: int
    content: bool
    bad_frame: int | None = None
    shredded: int = 0
    detail: str = ""

    @property
    def exit_code(self) -> int:
        """0 for ok, 10 to 14 by verdict."""
        return _EXIT_CODES[self.verdict]


def verify(
    home: Home,
    *,
    anchor: Path | None = None,
    keys: bool = True,
    source: KeySource | None = None,
    clock: Clock = time,
    heartbeat_s: float = HEARTBEAT_S,
    progress: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Check a log from end to end.

    Args:
        anchor: a file outside the log that remembers the last verified checkpoint; made, and moved on, when all is
            well. Keep it where whoever can write the log cannot.
        keys: False checks the structure only.
        source: gives the key encryption key; the home's key file when absent.
        heartbeat_s: silence of more than two of these in a log nobody closed is ``stale``.
        progress: called now and then with the records verified so far, and how many there are.

    Raises:
        ConfigError: the anchor file is not one.
        StoreUnavailable: a server could not be asked, so nothing is known of the log.
        StoreError: the database cannot be examined for want of permissions.
    """
    remembered = _Anchor.load(anchor) if anchor is not None and anchor.exists() else None
    run = _Run(home, remembered, (lambda: source or home_keys(home)) if keys else None, clock, heartbeat_s)
    run.progress = progress
    try:
        run.all()
    except _Problem as problem:
        return run.report(problem.verdict, str(problem), problem.frame)
    if run.key_problem:
        return run.report(Verdict.KEY_MISSING, run.key_problem, run.key_problem_frame)
    if anchor is not None:
        _Anchor(run.identity.verifier, run.last, run.last_note).save(anchor)
    return run.report(Verdict.OK if remembered else Verdict.OK_UNANCHORED)


class _Problem(Exception):
    def __init__(self, verdict: Verdict, message: str, frame: int | None = None) -> None:
        super().__init__(message)
        self.verdict = verdict
        self.frame = frame


def _corrupt(message: str, frame: int | None = None) -> _Problem:
    return _Problem(Verdict.CORRUPT, message, frame)


def _tampered(message: str, frame: int | None = None) -> _Problem:
    return _Problem(Verdict.TAMPERED, message, frame)


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A checkpoint remembered outside the log, with the key it was signed by."""

    verifier: VerifierKey
    checkpoint: Checkpoint
    note: bytes

    @classmethod
    def load(cls, path: Path) -> _Anchor:
        try:
            fields = json.loads(path.read_bytes())
            verifier, note = VerifierKey.parse(fields["verifier_key"]), fields["checkpoint"].encode()
            return cls(verifier, Checkpoint.parse(verifier.open(note)), note)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, TamperError) as error:
            raise ConfigError(f"{path} is no anchor that `audit verify` wrote; restore it from a backup") from error

    def save(self, path: Path) -> None:
        text = json.dumps({"verifier_key": str(self.verifier), "checkpoint": self.note.decode()}, indent=1)
        with atomic_file(path) as file:
            file.write(text.encode() + b"\n")


class _Run:
    """One verification, over one read transaction: a consistent snapshot even while others write."""

    identity: LogIdentity
    last: Checkpoint
    last_note: bytes
    _streams: ExitStack
    progress: Callable[[int, int], None] | None = None

    def __init__(
        self,
        home: Home,
        anchor: _Anchor | None,
        source: Callable[[], KeySource] | None,
        clock: Clock,
        heartbeat_s: float,
    ) -> None:
        self._home = home
        self._anchor = anchor
        self._anchor_met = anchor is None
        self._source = source
        self._clock = clock
        self._heartbeat_s = heartbeat_s
        self._ring: KeyRing | None = None
        self._key_rows: dict[bytes, RowMapping] = {}
        self._shreds: dict[bytes, Shred] = {}
        self._shred_events: dict[int, list[Shred]] = {}
        self.shredded = 0
        self._tree = Frontier()
        self._nodes: list[tuple[int, int, bytes]] = []
        self._chain = ZERO_HASH
        self._frames = 0
        self.key_problem = ""
        self.key_problem_frame: int | None = None

    def report(self, verdict: Verdict, detail: str = "", frame: int | None = None) -> VerifyReport:
        content = self._ring is not None and not self.key_problem
        return VerifyReport(verdict, self._tree.size, self._frames, content, frame, self.shredded, detail)

    def all(self) -> None:
        try:
            engine = open_engine(
                self._home.audit,
                application_id=schema.APPLICATION_ID,
                schema_version=schema.SCHEMA_VERSION,
                metadata=schema.metadata,
                create=False,
            )
        except StoreUnavailable:
            raise
        except StoreError as error:
            raise _corrupt(str(error)) from error
        try:
            with begin_snapshot(engine) as connection, ExitStack() as self._streams:
                self._check(connection)
        except DAMAGE as error:
            if (gone := unavailable(error, self._home.audit)) is not None:
                raise gone from error
            at = self._frames if self._frames or self._key_rows else None
            raise _corrupt(f"the database is damaged ({type(error).__name__})", at) from error
        finally:
            engine.dispose()

    def _check(self, connection: Connection) -> None:
        self._check_identity(connection)
        self._check_keys(connection)
        self._check_frames(connection)
        self._check_nodes(connection)
        # Last, because it names no frame.
        if (damage := storage_damage(connection, self._home.audit)) is not None:
            raise _corrupt(damage)
        if self._shred_events and self._ring is not None and not self.key_problem:
            raise _tampered("no record tells of a shredding that the log signed")
        self._check_anchor_met()
        self._check_fresh()

    # -- identity and keys -------------------------------------------------------------------------------------------

    def _check_identity(self, connection: Connection) -> None:
        rows = connection.execute(select(schema.logs)).mappings().all()
        if not rows:
            raise _Problem(Verdict.TRUNCATED, "the log's identity is gone: the database was emptied")
        if len(rows) > 1:
            raise _tampered(f"the database holds {len(rows)} logs, one was begun")
        self.identity = LogIdentity.from_row(rows[0])
        verifier = str(self.identity.verifier)
        pin = self._home.verifier_path
        if pin.exists() and pin.read_bytes().strip() != verifier.encode():
            raise _tampered(f"the log's verifier key is not the one in {pin}")
        if self._anchor is not None and str(self._anchor.verifier) != verifier:
            raise _tampered("the log's verifier key is not the anchor's")

    def _check_keys(self, connection: Connection) -> None:
        for row in connection.execute(select(schema.keys)).mappings():
            if row["generation"] != self.identity.generation:
                raise _tampered("a key row belongs to no log here")
            self._key_rows[row["key_id"]] = row
        self._check_shreds(connection)
        if self._source is None:
            return
        try:
            self._ring = KeyRing(self.identity, self._source())
            for row in self._key_rows.values():
                self._ring.unwrapped(row)
            self._ring.load(connection)
        except KeySourceError as error:
            self.key_problem = str(error)
        except TamperError as error:
            raise _tampered(str(error)) from error

    def _check_shreds(self, connection: Connection) -> None:
        for row in connection.execute(select(schema.shreds)).mappings():
            try:
                shred = Shred.open(row["note"], self.identity.verifier)
            except TamperError as error:
                raise _tampered(str(error)) from error
            if (row["key_id"], row["generation"]) != (shred.key_id, self.identity.generation):
                raise _tampered("a statement of shredding stands in another one's place")
            if shred.key_id in self._key_rows:
                raise _tampered("a key that the log says was shredded is there again", shred.first_frame)
            self._shreds[shred.key_id] = shred
            self._shred_events.setdefault(shred.record, []).append(shred)

    # -- frames and checkpoints --------------------------------------------------------------------------------------

    def _check_frames(self, connection: Connection) -> None:
        checkpoints = self._checkpoints(connection)
        tokens = self._tokens(connection)
        pending = self._match_checkpoints(checkpoints, next(checkpoints, None))
        total = connection.execute(select(func.max(schema.frames.c.first_index))).scalar() or 0
        for frame in self._frame_rows(connection):
            if pending is None:
                raise _tampered("frames follow the last signed checkpoint: they carry no signature", frame.number)
            self._check_structure(frame, tokens)
            self._check_content(frame)
            self._nodes += self._tree.extend(frame.leaf_hashes())
            self._chain = frame.chain
            self._frames += 1
            if self.progress is not None:
                self.progress(self._tree.size, max(total, self._tree.size))
            pending = self._match_checkpoints(checkpoints, pending)
        if pending is not None:
            missing = pending.frames - self._frames
            message = f"a signed checkpoint covers {pending.size} records; {missing} or more frames are gone"
            raise _Problem(Verdict.TRUNCATED, message, self._frames)
        if tokens.rest:
            raise _tampered("the index names frames that do not exist")

    def _match_checkpoints(self, rest: Iterator[Checkpoint], pending: Checkpoint | None) -> Checkpoint | None:
        """Compare every checkpoint of the present size; return the first one further on."""
        while pending is not None and pending.frames <= self._frames:
            expected = (self._frames, self._tree.size, self._tree.root(), self._chain)
            if (pending.frames, pending.size, pending.root, pending.chain) != expected:
                raise _tampered(f"checkpoint {pending.number} signs another history", max(0, self._frames - 1))
            self._meet_anchor(pending)
            pending = next(rest, None)
        return pending

    def _checkpoints(self, connection: Connection) -> Iterator[Checkpoint]:
        number = -1
        generation = self.identity.generation
        for number, row in enumerate(
            self._rows(connection, select(schema.checkpoints).order_by(schema.checkpoints.c.number))
        ):
            try:
                checkpoint = Checkpoint.parse(self.identity.verifier.open(row["note"]))
            except TamperError as error:
                raise _tampered(f"checkpoint {number}: {error}", self._frames) from error
            if (row["generation"], row["number"], checkpoint.number) != (generation, number, number):
                raise _tampered(f"checkpoint {number} is missing or out of order", self._frames)
            tree = Frontier.decode(checkpoint.size, row["frontier"])
            if checkpoint.origin != self.identity.origin or tree.root() != checkpoint.root:
                raise _tampered(f"checkpoint {number}: its tree is not the signed one", self._frames)
            self.last, self.last_note = checkpoint, row["note"]
            yield checkpoint
        if number < 0:
            raise _tampered("the log has no signed checkpoint")

    def _frame_rows(self, connection: Connection) -> Iterator[Frame]:
        for row in self._rows(connection, select(schema.frames).order_by(schema.frames.c.number)):
            try:
                yield Frame.from_row(row)
            except ValueError as error:
                raise _corrupt(f"a frame row is damaged: {error}", self._frames) from error

    def _check_structure(self, frame: Frame, tokens: _TokenRows) -> None:
        number = self._frames
        if (frame.generation, frame.number) != (self.identity.generation, number):
            raise _tampered(f"frame {number} is missing or out of order", number)
        if frame.first_index != self._tree.size or frame.previous != self._chain:
            raise _tampered(f"frame {number} does not continue the one before it", number)
        if frame.chain_hash(self.identity.log_id) != frame.chain:
            raise _corrupt(f"frame {number} does not fit its own hash: bytes were changed", number)
        if self._is_shredded(frame):
            self.shredded += frame.count
            self._forget_events(frame)
            return
        if tokens_digest(tokens.of(frame)) != frame.tokens_hash:
            raise _tampered(f"the index rows of frame {number} are not the ones it was written with", number)
        row = self._key_rows.get(frame.key_id)
        if row is None:
            self._miss_key(f"the key of frame {number} is missing; restore it from a backup", number)
        elif row["purpose"] != RECORD:
            raise _tampered(f"frame {number} names a key that is not for records", number)

    def _is_shredded(self, frame: Frame) -> bool:
        shred = self._shreds.get(frame.key_id)
        return shred is not None and shred.first_frame <= frame.number <= shred.last_frame

    def _forget_events(self, frame: Frame) -> None:
        # The record of an old shredding can have been shredded since.
        for index in range(frame.first_index, frame.first_index + frame.count) if self._shred_events else ():
            self._shred_events.pop(index, None)

    def _check_events(self, frame: Frame, records: list[bytes]) -> None:
        """Every statement of shredding names the record that tells of it."""
        for index in [at for at in self._shred_events if 0 <= at - frame.first_index < frame.count]:
            found = decode(records[index - frame.first_index][PREFIX_BYTES:])
            named = found.get("keys")
            for shred in self._shred_events.pop(index):
                if found.get("type") != SHRED_EVENT or not isinstance(named, list) or shred.key_id.hex() not in named:
                    raise _tampered(f"record {index} does not tell of the shredding it should", frame.number)

    def _miss_key(self, message: str, frame: int) -> None:
        if self.key_problem_frame is None:
            self.key_problem_frame = frame
        self.key_problem = self.key_problem or message

    def _check_content(self, frame: Frame) -> None:
        row = self._key_rows.get(frame.key_id)
        if self._ring is None or row is None or self.key_problem:
            return
        number = frame.number
        try:
            records = frame.open(self._ring.opened(row), self.identity.log_id)
            data = [decode_indexed(record[PREFIX_BYTES:]) for record in records]
        except DecryptError as error:
            raise _tampered(str(error), number) from error
        times = [str(item[0]) for item in data]
        if (stamp(frame.t_min), stamp(frame.t_max)) != (min(times), max(times)):
            raise _tampered(f"frame {number} says other times than its records", number)
        if tokens_digest(self._ring.token(term) for term in terms_of_frame(data)) != frame.tokens_hash:
            raise _tampered(f"the index of frame {number} does not cover its records", number)
        self._check_events(frame, records)

    # -- the rest ----------------------------------------------------------------------------------------------------

    def _tokens(self, connection: Connection) -> _TokenRows:
        columns = schema.tokens.c
        query = select(columns.frame, columns.segment, columns.generation, columns.token)
        ordered = query.order_by(columns.segment, columns.frame, columns.token)
        return _TokenRows(map(tuple, self._streamed(connection, ordered)), self.identity.generation)

    def _check_nodes(self, connection: Connection) -> None:
        generation = self.identity.generation
        columns = schema.nodes.c
        stored = [
            (row["generation"], row["level"], row["position"], row["hash"])
            for row in self._rows(connection, select(schema.nodes).order_by(columns.level, columns.position))
        ]
        if stored != [(generation, *node) for node in sorted(self._nodes)]:
            raise _tampered("the stored tree nodes are not the ones the records give")

    def _streamed(self, connection: Connection, statement: Select[Any]) -> CursorResult[Any]:
        result = connection.execution_options(yield_per=FETCH_ROWS).execute(statement)
        # A problem ends the verification in the midst of the rows: what the server holds ready must go.
        self._streams.callback(result.close)
        return result

    def _rows(self, connection: Connection, statement: Select[Any]) -> Iterator[RowMapping]:
        return iter(self._streamed(connection, statement).mappings())

    def _meet_anchor(self, checkpoint: Checkpoint) -> None:
        if self._anchor is None or checkpoint.number != self._anchor.checkpoint.number:
            return
        if checkpoint != self._anchor.checkpoint:
            raise _tampered("the log signs another history than the anchor remembers", max(0, self._frames - 1))
        self._anchor_met = True

    def _check_anchor_met(self) -> None:
        if not self._anchor_met and self._anchor is not None:
            size = self._anchor.checkpoint.size
            message = f"the anchor remembers {size} records, the log has {self._tree.size}: an older copy was put back"
            raise _Problem(Verdict.ROLLBACK, message)

    def _check_fresh(self) -> None:
        silence = (self._clock.time_ns() - self.last.time) / 1e9
        if not self.last.closed and silence > 2 * self._heartbeat_s:
            raise _Problem(Verdict.STALE, f"no checkpoint for {silence:.0f} s, though no writer closed the log")


class _TokenRows:
    """Index rows (frame, segment, generation, token) in frame order, consumed along with the frames."""

    def __init__(self, rows: Iterator[tuple[Any, ...]], generation: int) -> None:
        self._rows = rows
        self._generation = generation
        self._next = next(rows, None)

    @property
    def rest(self) -> bool:
        """Whether rows are left that no frame asked for."""
        return self._next is not None

    def of(self, frame: Frame) -> list[bytes]:
        """The tokens of a frame; rows of earlier frames would be left over, and block all later ones."""
        found: list[bytes] = []
        place = (frame.number, schema.segment(frame.first_index), self._generation)
        row = self._next
        while row is not None and row[0] == place[0]:
            if row[:3] != place:
                raise _tampered("an index row belongs to no log or no place here", frame.number)
            found.append(bytes(row[3]))
            row = next(self._rows, None)
        self._next = row
        return found
