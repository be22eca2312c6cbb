"""What is usual for each subject: one fixed-size row of numbers each, in one array, least useful rows evicted.

A subject is a principal, a role, a tool or a tenant. A row holds robust statistics (median and MAD over a reservoir),
an EWMA profile over the hours of the day, decayed counts of errors and denials, and keyed hashes of the values seen:
no text of any event. A subject without a row, or with a young one, is *unknown*: judged by its role, never normal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from agentguard.errors import ConfigError

__all__ = ["AMOUNTS", "KNOWN", "LEVELS", "NOVEL", "ROW", "SAMPLE", "Baselines", "value_hash"]

Rows = NDArray[np.int64]

# Sums of a window that are compared as logarithms.
LEVELS = ("calls", "tokens", "read", "sent")
# Sums kept of the current hour; the fourth and later are counts.
AMOUNTS = ("calls", "tokens", "read", "sent", "sends", "denials", "errors")
# Values that are known or new.
NOVEL = ("address", "tool", "recipient", "sequence")

SAMPLE = 32
DAYS = 14
# Values remembered of each kind. A subject with more of them meets new ones all the time, and is known for that.
KNOWN = 40

ROW = np.dtype(
    [
        ("first", "f8"),
        ("seen", "f8"),
        ("role", "i4"),
        ("principal", "?"),
        ("windows", "f4"),
        # By hour of the day (UTC): calls, days with calls, days watched.
        ("profile", "f4", 24),
        ("active", "f4", 24),
        ("watched", "f4", 24),
        ("dispersion", "f4"),
        # Decayed counts.
        ("calls", "f4"),
        ("denials", "f4"),
        ("errors", "f4"),
        ("sample", "f4", (len(LEVELS), SAMPLE)),
        ("filled", "i2", len(LEVELS)),
        ("median", "f4", len(LEVELS)),
        ("scale", "f4", len(LEVELS)),
        ("daily", "f4", (4, DAYS)),
        ("filled_days", "i2"),
        ("day_median", "f4", 4),
        ("day_scale", "f4", 4),
        ("drift", "f4", 4),
        ("drift_peak", "f4"),
        # Logarithms of the sizes of single events (tokens, read, sent), and how much they usually exceed them.
        ("size_mean", "f4", 3),
        ("size_scale", "f4", 3),
        ("size_count", "f4", 3),
        ("large_count", "f4", (2, 3)),
        ("known", "u4", (len(NOVEL), KNOWN)),
        ("known_count", "u2", (len(NOVEL), KNOWN)),
        ("known_next", "i2", len(NOVEL)),
        ("last_tool", "u4"),
        # The windows that are open: this hour, the last minutes, this day.
        ("hour", "f8", len(AMOUNTS)),
        ("short", "f8", len(AMOUNTS)),
        ("day", "f8", 4),
        ("drawn", "f4", len(NOVEL)),
        ("sizes", "f8", (3, 3)),
        ("large", "f4", (2, 3)),
        ("peak", "f4", 12),
    ]
)


def value_hash(key: bytes, text: str) -> int:
    """32 bits of a keyed hash, never 0: without the key nobody finds a value that passes for a known one."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=4, key=key).digest()
    return int.from_bytes(digest, "big") or 1


class Baselines:
    """The rows of all subjects, found by key. Not thread-safe: one thread scores.

    Args:
        capacity: rows at most; then the ones with the least history, unseen for longest, are evicted.

    Raises:
        ConfigError: the capacity is below 16.
    """

    def __init__(self, capacity: int = 100_000) -> None:
        if capacity < 16:
            raise ConfigError(f"got a capacity of {capacity} subjects; at least 16 are accepted")
        self.capacity = capacity
        # The system gives pages when they are first written to: rows that nobody uses cost address space only.
        self.rows = np.zeros(capacity, ROW)
        self.evicted = 0
        # Evicted subjects whose stored rows are to be deleted.
        self.gone: list[str] = []
        self._index: dict[str, int] = {}
        self._keys: list[str | None] = []
        self._free: list[int] = []

    def __len__(self) -> int:
        return len(self._index)

    def __contains__(self, key: str) -> bool:
        return key in self._index

    def find(self, key: str) -> int | None:
        """The row of a subject; None when it is unknown."""
        return self._index.get(key)

    def key(self, row: int) -> str:
        """The subject of a row."""
        return self._keys[row] or ""

    def keys(self) -> Iterable[str]:
        """Every subject."""
        return self._index.keys()

    def used(self) -> Rows:
        """The rows in use."""
        return np.fromiter(self._index.values(), np.int64, len(self._index))

    def row(self, key: str, now: float) -> int:
        """The row of a subject, made when it has none; another may be evicted for it."""
        found = self._index.get(key)
        if found is not None:
            return found
        row = self._place()
        self.rows[row] = np.zeros((), ROW)
        self.rows["first"][row] = self.rows["seen"][row] = now
        self.rows["role"][row] = -1
        self.rows["dispersion"][row] = 0.5
        self._index[key] = row
        self._keys[row] = key
        return row

    def dump(self, keys: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Subjects with their rows as bytes."""
        for key in keys:
            row = self._index.get(key)
            if row is not None:
                yield key, self.rows[row].tobytes()

    def load(self, key: str, state: bytes) -> None:
        """Take a row back. One of another size, from another version, is dropped: its subject is unknown again."""
        if len(state) == ROW.itemsize:
            loaded = np.frombuffer(state, ROW)[0]
            row = self.row(key, float(loaded["seen"]))
            self.rows[row] = loaded
            # Where its role stands here follows from its next event.
            self.rows["role"][row] = -1

    def _place(self) -> int:
        if not self._free and len(self._keys) < self.capacity:
            self._keys.append(None)
            return len(self._keys) - 1
        if not self._free:
            self._make_room()
        return self._free.pop()

    def _make_room(self) -> None:
        used = self.used()
        # History counts like days since it was last seen, so that a flood of invented names evicts invented names.
        worth = self.rows["seen"][used] + 86_400.0 * np.minimum(self.rows["windows"][used], 60.0)
        # Roles stand in for whoever is evicted, and are few.
        worth[[self.key(int(row)).startswith("role:") for row in used]] = np.inf
        count = max(1, len(used) // 50)
        for row in used[np.argpartition(worth, count - 1)[:count]]:
            self._evict(int(row))

    def _evict(self, row: int) -> None:
        key = self._keys[row]
        if key is not None:
            del self._index[key]
            self._keys[row] = None
            self._free.append(row)
            self.evicted += 1
            self.gone.append(key)
