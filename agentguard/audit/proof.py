"""Evidence in one file: that a record is in the log, or that a later log continues an earlier one.

Whoever checks needs no decryption key and no access to the log, only its verifier key, which must come from elsewhere
than the file. An inclusion proof is a C2SP tlog-proof whose extra data is the record itself; a consistency proof has
the same form between two checkpoints.
Sources: https://c2sp.org/tlog-proof, https://c2sp.org/tlog-checkpoint, RFC 9162 sections 2.1.3 and 2.1.4.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, select

from agentguard.audit import schema
from agentguard.audit.checkpoint import Checkpoint, VerifierKey
from agentguard.audit.frame import PREFIX_BYTES
from agentguard.audit.keyring import LogIdentity
from agentguard.audit.merkle import (
    HASH_BYTES,
    TILE_LEVELS,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root_of_inclusion,
    roots_of_consistency,
)
from agentguard.audit.record import decode
from agentguard.errors import ConfigError, DecryptError, TamperError
from agentguard.event import Json

__all__ = ["ConsistencyProof", "InclusionProof", "StoredTree", "prove_consistency", "prove_inclusion"]

INCLUSION = "c2sp.org/tlog-proof@v1"
CONSISTENCY = "agentguard.audit/consistency-proof@v1"
# A record has at most 4 MiB, a path 63 hashes, a checkpoint some hundred bytes.
MAX_PROOF_BYTES = 8 * 1024 * 1024
MAX_PATH = 126

_INCLUSION = re.compile(
    rf"{re.escape(INCLUSION)}\nextra (?P<extra>[A-Za-z0-9+/=]+)\nindex (?P<index>0|[1-9][0-9]{{0,18}})\n"
    r"(?P<path>(?:[A-Za-z0-9+/]{43}=\n)*)\n(?P<note>.+)",
    re.DOTALL,
)
_CONSISTENCY = re.compile(
    rf"{re.escape(CONSISTENCY)}\nold (?P<old>[A-Za-z0-9+/=]+)\n(?P<path>(?:[A-Za-z0-9+/]{{43}}=\n)*)\n(?P<note>.+)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class InclusionProof:
    """A record, its index, the path to the root, and the signed checkpoint that holds the root."""

    record: bytes = field(repr=False)
    index: int
    path: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """The proof as a file."""
        head = f"{INCLUSION}\nextra {_base64(self.record)}\nindex {self.index}\n"
        return head.encode() + _lines(self.path) + b"\n" + self.note

    @classmethod
    def parse(cls, data: bytes) -> InclusionProof:
        """Read what ``encode`` wrote.

        Raises:
            TamperError: not in that form.
        """
        found = _matched(_INCLUSION, data)
        proof = cls(_unbase64(found["extra"]), int(found["index"]), _path(found["path"]), found["note"].encode())
        if proof.encode() != data:
            raise TamperError("the proof has a second spelling of its content")
        return proof

    def check(self, verifier: VerifierKey) -> Checkpoint:
        """The checkpoint, once the record is proved to be under it.

        Raises:
            TamperError: not signed by this log, or the record is not at this place.
        """
        checkpoint = _opened(self.note, verifier)
        try:
            root = root_of_inclusion(leaf_hash(self.record), self.index, checkpoint.size, self.path)
        except ValueError as error:
            raise TamperError(f"the proof does not fit its checkpoint: {error}") from error
        if not hmac.compare_digest(root, checkpoint.root):
            raise TamperError("the record is not in the log that the checkpoint signs")
        return checkpoint

    def data(self) -> dict[str, Json]:
        """The record's content.

        Raises:
            TamperError: it holds no record.
        """
        try:
            return decode(self.record[PREFIX_BYTES:])
        except DecryptError as error:
            raise TamperError("the proof holds no audit record") from error


@dataclass(frozen=True, slots=True)
class ConsistencyProof:
    """Two signed checkpoints and the path that shows the second to continue the first."""

    old_note: bytes
    path: tuple[bytes, ...]
    note: bytes

    def encode(self) -> bytes:
        """The proof as a file."""
        return f"{CONSISTENCY}\nold {_base64(self.old_note)}\n".encode() + _lines(self.path) + b"\n" + self.note

    @classmethod
    def parse(cls, data: bytes) -> ConsistencyProof:
        """Read what ``encode`` wrote.

        Raises:
            TamperError: not in that form.
        """
        found = _matched(_CONSISTENCY, data)
        proof = cls(_unbase64(found["old"]), _path(found["path"]), found["note"].encode())
        if proof.encode() != data:
            raise TamperError("the proof has a second spelling of its content")
        return proof

    def check(self, verifier: VerifierKey) -> tuple[Checkpoint, Checkpoint]:
        """The old and the new checkpoint, once the new one is proved to continue the old.

        Raises:
            TamperError: not signed by this log, or history was changed between them.
        """
        old, new = _opened(self.old_note, verifier), _opened(self.note, verifier)
        if old.size == 0:
            if self.path:
                raise TamperError("the proof does not fit its checkpoints: every log continues the empty one")
            return old, new
        try:
            first, second = roots_of_consistency(old.size, new.size, old.root, self.path)
        except ValueError as error:
            raise TamperError(f"the proof does not fit its checkpoints: {error}") from error
        if not (hmac.compare_digest(first, old.root) and hmac.compare_digest(second, new.root)):
            raise TamperError("the new checkpoint does not continue the old one: history was changed")
        return old, new


class StoredTree:
    """Subtree roots from the leaves in the frames and the stored tiles: O(log n) rows a proof."""

    def __init__(self, connection: Connection, generation: int) -> None:
        self._connection = connection
        self._generation = generation
        self._known: dict[tuple[int, int], bytes] = {}

    def node(self, level: int, position: int) -> bytes:
        """As ``merkle.Nodes``.

        Raises:
            TamperError: a frame or tile that it needs is gone.
        """
        found = self._known.get((level, position))
        if found is None:
            base = level // TILE_LEVELS * TILE_LEVELS
            width = level - base
            row = self._row(base, position << width, (position + 1) << width)
            while len(row) > 1:
                row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
            found = self._known[level, position] = row[0]
        return found

    def _row(self, level: int, start: int, end: int) -> list[bytes]:
        found = self._leaves(start, end) if level == 0 else self._tiles(level, start, end)
        if len(found) != end - start:
            raise TamperError("part of the log's tree is gone; run `agentguard audit verify`")
        return found

    def _tiles(self, level: int, start: int, end: int) -> list[bytes]:
        columns = schema.nodes.c
        query = select(columns.hash).where(
            columns.generation == self._generation,
            columns.level == level,
            columns.position >= start,
            columns.position < end,
        )
        return [bytes(value) for value in self._connection.execute(query.order_by(columns.position)).scalars()]

    def _leaves(self, start: int, end: int) -> list[bytes]:
        columns = schema.frames.c
        mine = columns.generation == self._generation
        before = select(columns.number).where(mine, columns.first_index <= start)
        first = self._connection.execute(before.order_by(columns.first_index.desc()).limit(1)).scalar()
        query = select(columns.first_index, columns.leaves).where(
            mine, columns.number >= (first or 0), columns.first_index < end
        )
        found: list[bytes] = []
        for at, leaves in self._connection.execute(query.order_by(columns.number)):
            low, high = max(start - at, 0), min(end - at, len(leaves) // HASH_BYTES)
            found += [leaves[n * HASH_BYTES : (n + 1) * HASH_BYTES] for n in range(low, high)]
        return found


def prove_inclusion(engine: Engine, identity: LogIdentity, record: bytes, index: int) -> InclusionProof:
    """Prove a record under the newest checkpoint.

    Raises:
        ConfigError: no such record.
        TamperError: the log contradicts itself.
    """
    with engine.begin() as connection:
        newest, note = newest_checkpoint(connection, identity)
        if not 0 <= index < newest.size:
            raise ConfigError(f"the log has {newest.size} records, none has the index {index}")
        path = inclusion_proof(StoredTree(connection, identity.generation), index, newest.size)
    proof = InclusionProof(record, index, tuple(path), note)
    proof.check(identity.verifier)  # never hand out what would not be accepted
    return proof


def prove_consistency(engine: Engine, identity: LogIdentity, old_note: bytes) -> ConsistencyProof:
    """Prove that the log continues an earlier signed checkpoint.

    Raises:
        TamperError: the checkpoint is not this log's, or the log does not continue it.
    """
    old = _opened(old_note, identity.verifier)
    with engine.begin() as connection:
        newest, note = newest_checkpoint(connection, identity)
        if newest.size < old.size:
            raise TamperError(f"the log has {newest.size} records, the checkpoint covers {old.size}: it was cut")
        tree = StoredTree(connection, identity.generation)
        path = consistency_proof(tree, old.size, newest.size) if old.size else []
    proof = ConsistencyProof(old_note, tuple(path), note)
    proof.check(identity.verifier)
    return proof


def newest_checkpoint(connection: Connection, identity: LogIdentity) -> tuple[Checkpoint, bytes]:
    """The last signed checkpoint and its note.

    Raises:
        TamperError: there is none, or its signature does not fit.
    """
    columns = schema.checkpoints.c
    query = select(columns.note).where(columns.generation == identity.generation)
    note = connection.execute(query.order_by(columns.number.desc()).limit(1)).scalar()
    if note is None:
        raise TamperError("the log has no checkpoint left; run `agentguard audit verify`")
    return _opened(note, identity.verifier), note


def _opened(note: bytes, verifier: VerifierKey) -> Checkpoint:
    checkpoint = Checkpoint.parse(verifier.open(note))
    if checkpoint.origin != verifier.name:
        raise TamperError("the checkpoint names another log than the key that signed it")
    return checkpoint


def _matched(pattern: re.Pattern[str], data: bytes) -> re.Match[str]:
    try:
        found = pattern.fullmatch(data.decode("utf-8")) if len(data) <= MAX_PROOF_BYTES else None
    except UnicodeDecodeError:
        found = None
    if found is None:
        raise TamperError("not a proof that `agentguard audit prove` wrote")
    return found


def _path(lines: str) -> tuple[bytes, ...]:
    path = tuple(_unbase64(line) for line in lines.split())
    if len(path) > MAX_PATH:
        raise TamperError("the proof is longer than any tree is high")
    return path


def _lines(path: tuple[bytes, ...]) -> bytes:
    return b"".join(base64.b64encode(node) + b"\n" for node in path)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unbase64(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TamperError("the proof holds broken base64") from error
