"""What is learned of a window that has ended, and what is not.

What was alerted is quarantined: it changes no baseline. What was merely high is clipped first. Reservoirs that are
full replace a value at random now and then, so that what stands in them is from all of the past month.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from agentguard.monitor.baseline import AMOUNTS, DAYS, KNOWN, LEVELS, SAMPLE, Baselines, Rows

__all__ = [
    "CLIP",
    "DENIALS",
    "ERRORS",
    "FIRST_NOVEL",
    "HOUR",
    "KERNEL",
    "KINDS",
    "MIN_SCALE",
    "WARM_WINDOWS",
    "Lessons",
    "chunks",
    "expected_calls",
    "levels_of",
]

Floats = NDArray[np.float64]

KINDS = (
    "calls",
    "tokens",
    "read",
    "sent",
    "denials",
    "errors",
    "hour",
    "address",
    "tool",
    "recipient",
    "sequence",
    "drift",
)
FIRST_NOVEL = KINDS.index("address")
DENIALS, ERRORS, HOUR = (KINDS.index(name) for name in ("denials", "errors", "hour"))

# Before so many windows a subject has no baseline of its own: it is unknown.
WARM_WINDOWS = 12.0
HALVED_AT = 30_000
# The least scale of logarithms: a subject that never varied may vary by a fifth before that counts.
MIN_SCALE = 0.2
# Scale of the normal distribution from the median absolute deviation.
MAD = 1.4826
# What is learned of a value is at most so many scales above the median.
CLIP = 3.0
# What the scale of a young reservoir is drawn towards, and by how many values' weight.
PRIOR_SCALE, PRIOR_WEIGHT = 0.5, 4.0
# A month of memory for profile, counts and reservoirs.
FORGET = 1 / 30.0
CHUNK = 4_096
KERNEL = ((-2, 0.5), (-1, 1.0), (0, 2.0), (1, 1.0), (2, 0.5))


class Lessons:
    """Teaches baselines. ``alerted`` holds the (row, kind) pairs of the hour that are quarantined, ``fresh`` its new
    values by (row, place in ``NOVEL``); the scorer fills and empties both.
    """

    def __init__(self, baselines: Baselines, seed: int) -> None:
        self.baselines = baselines
        self.alerted: set[tuple[int, int]] = set()
        self.fresh: dict[tuple[int, int], dict[int, int]] = {}
        self._random = np.random.default_rng(seed)

    def learn(self, hour: int, rows: Rows, used: Rows, changed: set[str]) -> None:
        """Learn an hour that has ended: ``rows`` had events in it, ``used`` are all there are."""
        self._watch(used, hour % 24)
        for chunk in chunks(rows):
            self._learn(chunk, hour % 24, changed)
        self._learn_values()

    def _watch(self, used: Rows, of_day: int) -> None:
        """The profile of the hour of the day, for those who were silent too."""
        state = self.baselines.rows
        watched = state["watched"][used, of_day]
        step = np.maximum(1 / (watched + 1), FORGET)
        calls = state["hour"][used, 0]
        held = np.zeros(len(state), bool)
        held[[row for row, kind in self.alerted if kind in (0, HOUR)]] = True
        mean = state["profile"][used, of_day]
        whole = np.maximum(state["profile"][used].mean(axis=1), 0.1)
        # A young profile learns as it comes; an old one at most doubles its idea of an hour at a time.
        calls = np.where(watched >= 7, np.minimum(calls, 3 * np.maximum(mean, whole) + 3), calls)
        quarantined = held[used]
        state["profile"][used, of_day] = np.where(quarantined, mean, mean + step * (calls - mean))
        state["active"][used, of_day] *= 1 - FORGET
        state["watched"][used, of_day] *= 1 - FORGET
        state["active"][used, of_day] += (state["hour"][used, 0] > 0) & ~quarantined
        state["watched"][used, of_day] += ~quarantined

    def _learn(self, rows: Rows, of_day: int, changed: set[str]) -> None:
        state = self.baselines.rows
        totals = state["hour"][rows]
        held = np.zeros((len(rows), len(KINDS)), bool)
        place = {int(row): index for index, row in enumerate(rows)}
        for row, kind in self.alerted:
            if row in place:
                held[place[row], kind] = True
        self._learn_levels(rows, levels_of(totals), held)
        self._learn_dispersion(rows, of_day, held[:, 0])
        self._learn_sizes(rows, held[:, 1:4])
        for column, kind in ((5, DENIALS), (6, ERRORS)):
            free = rows[~held[:, kind]]
            share = state[AMOUNTS[column]][free] * (1 - FORGET / 8) + totals[~held[:, kind], column]
            state[AMOUNTS[column]][free] = share
        state["calls"][rows] = state["calls"][rows] * (1 - FORGET / 8) + totals[:, 0]
        state["windows"][rows] += 1
        # Counts that come near their bound are halved: their proportions stay, and what was rare once may be so again.
        counts = state["known_count"][rows]
        full = np.asarray((counts > HALVED_AT).any(axis=2))
        state["known_count"][rows] = np.where(full[:, :, None], np.where(counts > 2, counts // 2, counts), counts)
        self._learn_roles(rows, totals, changed)

    def _learn_levels(self, rows: Rows, levels: Floats, held: NDArray[np.bool_]) -> None:
        state = self.baselines.rows
        filled = state["filled"][rows]
        bound = state["median"][rows] + CLIP * state["scale"][rows]
        clipped = np.where(filled >= WARM_WINDOWS, np.minimum(levels, bound), levels)
        for column in range(len(LEVELS)):
            learn = (levels[:, column] > 0) & ~held[:, column]
            chosen = rows[learn]
            count = filled[learn, column]
            # Full reservoirs forget at random: what stands in them is from all of the past, not from the last days.
            keep = (count < SAMPLE) | (self._random.random(len(chosen)) < 0.25)
            slot = np.where(count < SAMPLE, count, self._random.integers(0, SAMPLE, len(chosen)))
            state["sample"][chosen[keep], column, slot[keep]] = clipped[learn, column][keep]
            state["filled"][chosen, column] = np.minimum(count + 1, SAMPLE)
        self._summarise(rows)

    def _summarise(self, rows: Rows) -> None:
        state = self.baselines.rows
        empty = np.arange(SAMPLE) >= state["filled"][rows][:, :, None]
        median, scale = _robust(state["sample"][rows], empty)
        state["median"][rows] = median
        state["scale"][rows] = _drawn_in(scale, state["filled"][rows])

    def _learn_dispersion(self, rows: Rows, of_day: int, held: NDArray[np.bool_]) -> None:
        state = self.baselines.rows
        calls = state["hour"][rows, 0]
        mean = expected_calls(state[rows], of_day)
        seen = np.clip(((calls - mean) ** 2 - calls) / mean**2, 0.0, 8.0)
        step = np.maximum(1 / (state["windows"][rows] + 4), FORGET / 2)
        current = state["dispersion"][rows]
        state["dispersion"][rows] = np.where(held, current, np.clip(current + step * (seen - current), 0.02, 6.0))

    def _learn_sizes(self, rows: Rows, held: NDArray[np.bool_]) -> None:
        state = self.baselines.rows
        count, total, squares = (np.where(held, 0.0, state["sizes"][rows][:, i]) for i in range(3))
        before = state["size_count"][rows] * (1 - FORGET / 8)
        weight = np.maximum(before + count, 1e-9)
        mean = (before * state["size_mean"][rows] + total) / weight
        spread = before * (state["size_scale"][rows] ** 2 + state["size_mean"][rows] ** 2) + squares
        some = count > 0
        state["size_mean"][rows] = np.where(some, mean, state["size_mean"][rows])
        variance = np.maximum(spread / weight - mean**2, 0.0)
        state["size_scale"][rows] = np.where(some, np.sqrt(variance), state["size_scale"][rows])
        state["size_count"][rows] = np.where(some, before + count, state["size_count"][rows])
        large = np.where(held[:, None, :], 0.0, state["large"][rows])
        state["large_count"][rows] = state["large_count"][rows] * (1 - FORGET / 8) + large

    def _learn_values(self) -> None:
        for (row, kind), values in self.fresh.items():
            if (row, FIRST_NOVEL + kind) not in self.alerted:
                for value, count in values.items():
                    self.remember(row, kind, value, count)

    def remember(self, row: int, kind: int, value: int, count: int = 1) -> None:
        """Make a value a known one; the oldest goes when there are too many."""
        state = self.baselines.rows
        place = int(state["known_next"][row, kind]) % KNOWN
        state["known"][row, kind, place] = value
        state["known_count"][row, kind, place] = min(count, HALVED_AT)
        state["known_next"][row, kind] = place + 1

    def _learn_roles(self, rows: Rows, totals: Floats, changed: set[str]) -> None:
        """A role learns an hour of one or two of its principals, drawn at random, so none outweighs the others."""
        state = self.baselines.rows
        roles = state["role"][rows]
        member = np.flatnonzero(roles >= 0)
        if not len(member):
            return
        order = member[self._random.permutation(len(member))]
        _, first = np.unique(roles[order], return_index=True)
        chosen = order[first]
        targets = roles[chosen].astype(np.int64)
        state["seen"][targets] = np.maximum(state["seen"][targets], state["seen"][rows[chosen]])
        held = np.array([[(int(row), kind) in self.alerted for kind in range(len(KINDS))] for row in rows[chosen]])
        self._learn_levels(targets, levels_of(totals[chosen]), held)
        for column, name in ((0, "calls"), (5, "denials"), (6, "errors")):
            state[name][targets] = state[name][targets] * (1 - FORGET / 8) + totals[chosen, column]
        state["windows"][targets] += 1
        changed.update(self.baselines.key(int(row)) for row in targets)

    def learn_days(self, rows: Rows, levels: Floats, held: NDArray[np.bool_]) -> None:
        """Learn the sums of a day that has ended, where nothing is held."""
        state = self.baselines.rows
        filled = state["filled_days"][rows]
        free = ~held.any(axis=1)
        keep = free & ((filled < DAYS) | (self._random.random(len(rows)) < 0.5))
        slot = np.where(filled < DAYS, filled, self._random.integers(0, DAYS, len(rows)))
        for column in range(4):
            state["daily"][rows[keep], column, slot[keep]] = levels[keep, column]
        state["filled_days"][rows[free]] = np.minimum(filled[free] + 1, DAYS)
        empty = np.arange(DAYS) >= state["filled_days"][rows][:, None, None]
        median, scale = _robust(state["daily"][rows], np.broadcast_to(empty, (len(rows), 4, DAYS)))
        few = state["filled_days"][rows][:, None]
        state["day_median"][rows], state["day_scale"][rows] = median, _drawn_in(scale, few)


def chunks(rows: Rows) -> Iterator[Rows]:
    """The rows in pieces: rows are thousands of bytes, and whole ones are copied where they are scored."""
    for start in range(0, len(rows), CHUNK):
        yield rows[start : start + CHUNK]


def expected_calls(state: NDArray[np.void], hour: int) -> Floats:
    """Calls to expect in this hour if it is an active one: an hour that is usually silent is another kind."""
    whole = state["profile"].mean(axis=1)
    total = sum(weight for _, weight in KERNEL)
    smooth = np.asarray(sum(w * state["profile"][:, (hour + shift) % 24] for shift, w in KERNEL)) / total
    watched = state["watched"][:, hour]
    near = (watched * smooth + 4 * whole) / (watched + 4)
    active = 0.5 * np.expm1(state["median"][:, 0])
    return np.asarray(np.maximum(np.maximum(near, active), 0.05), np.float64)


def levels_of(totals: Floats) -> Floats:
    """Logarithms of a window's sums."""
    return np.asarray(np.log1p(totals[:, : len(LEVELS)]))


def _robust(values: NDArray[np.float32], empty: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """Median and scale along the last axis; zero where there is nothing yet."""
    with np.errstate(invalid="ignore"):
        filled = ~empty.all(axis=-1)
        masked = np.where(empty, np.nan, values)
        masked[~filled] = 0.0
        median = np.nanmedian(masked, axis=-1)
        scale = MAD * np.nanmedian(np.abs(masked - median[..., None]), axis=-1)
    return median, np.maximum(scale, MIN_SCALE)


def _drawn_in(scale: Floats, count: NDArray[np.int16]) -> Floats:
    """A few values that happen to agree say little about how much the next may differ."""
    return np.asarray(np.sqrt((count * scale**2 + PRIOR_WEIGHT * PRIOR_SCALE**2) / (count + PRIOR_WEIGHT)))
