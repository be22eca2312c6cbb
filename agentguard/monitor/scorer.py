"""Scores the windows of every subject against its baseline, then learns from them: in this order, and never otherwise.

The open hour is scored whenever time advances, so that an anomaly shows within minutes; it is learned once, when it has
ended. What was surprising enough to alert is **quarantined**: it changes no baseline, so neither a burst nor a slow
climb can train it; what was somewhat surprising is clipped before it is learned. A climb of a few percent a day is
seen as drift: a one-sided CUSUM (Page 1954) over days against a baseline that stands still while the sum is high.

No clock and no thread in here: the same events in the same order give the same scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentguard.monitor.baseline import AMOUNTS, KNOWN, NOVEL, Baselines, Rows
from agentguard.monitor.learning import (
    CLIP,
    DENIALS,
    ERRORS,
    FIRST_NOVEL,
    HOUR,
    KERNEL,
    KINDS,
    MIN_SCALE,
    WARM_WINDOWS,
    Lessons,
    chunks,
    expected_calls,
    levels_of,
)
from agentguard.monitor.surprise import STRATA, Calibration, binomial_score, count_score, level_score, severity

__all__ = ["KINDS", "Anomaly", "Observation", "Scorer"]

Floats = NDArray[np.float64]

DRIFT = KINDS.index("drift")

HOUR_S, DAY_S, MONTH_S = 3_600.0, 86_400.0, 30 * 86_400.0
SHORT_S = 300.0
# Before so many days watched a subject has no baseline of its own: it is unknown.
WARM_DAYS = 3.0
# Before so many values its novelties say nothing.
WARM_DRAWS = 30.0
# Uses of one new value in an hour that count.
MAX_USES = 4
# One of one is no rate: fewer denials, errors or calls than this are no evidence.
MINDENIALS, MINERRORS, MIN_TRIALS, MIN_HOUR_CALLS = 3, 4, 10, 3
# An event is large, or huge, that many scales above the mean of logarithms; the shares expected of log-normal sizes,
# and by how many events' weight.
LARGE, LARGE_SHARE, LARGE_WEIGHT = (2.5, 4.0), (0.0062, 0.0001), 200.0
# Logarithm of the calls of an hour below which sums say little.
FEW_CALLS = 1.4
# So many values seen only once make a subject restless.
RESTLESS = 3
# How much of the budget of false alerts drift has, where another kind has one.
DRIFT_WEIGHT = 0.25
# CUSUM over days: slack, and the range of one day's contribution.
SLACK, DAY_RANGE = 0.75, (-1.5, 3.0)


@dataclass(frozen=True, slots=True)
class Observation:
    """One event as the scorer sees it. Sizes in bytes; ``address``, ``tool`` and ``recipient`` are hashes, 0: none."""

    time: float
    principal: str
    role: str = ""
    tool_subject: str = ""
    tenant: str = ""
    address: int = 0
    tool: int = 0
    recipient: int = 0
    calls: float = 1
    tokens: float = 0
    read: float = 0
    sent: float = 0
    denials: float = 0
    errors: float = 0


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A subject, and what is unusual about it now.

    ``rate`` is the calibrated surprise: how often one subject shows this much in a month. ``observed`` and ``usual``
    are in the units of the kind: counts, tokens or bytes in the window, new values in it.
    """

    subject: str
    kind: str
    time: float
    score: float
    rate: float
    severity: str
    observed: float
    usual: float
    window_s: float
    values: tuple[int, ...] = ()


class Scorer:
    """Baselines, open windows and calibration. One thread uses it.

    Args:
        capacity: subjects at most.
        budget: false alerts that may be expected a principal and month, over all kinds.
        seed: of the reservoirs.
    """

    def __init__(self, *, capacity: int = 100_000, budget: float = 1.0, seed: int = 0) -> None:
        self.baselines = Baselines(capacity)
        self.calibration = Calibration(len(KINDS))
        # A climb shows day after day until it is certain; what lasts minutes has one chance.
        weights = [DRIFT_WEIGHT if kind == "drift" else 1.0 for kind in KINDS]
        self.budgets = [budget * weight / sum(weights) for weight in weights]
        self._lessons = Lessons(self.baselines, seed)
        self._hour: int | None = None
        self._short = -1
        self._touched: set[int] = set()
        self._touched_short: set[int] = set()
        self._touched_day: set[int] = set()
        self._touched_now: set[int] = set()
        # What a person called normal: not alerted again within the hour.
        self._accepted: set[tuple[int, int]] = set()
        self.changed: set[str] = set()

    # -- what is known --------------------------------------------------------------------------------------------

    def known(self, subject: str) -> bool:
        """Whether a subject has a baseline of its own."""
        row = self.baselines.find(subject)
        return row is not None and bool(self._warm(np.array([row]))[0])

    def accept(self, anomaly: Anomaly) -> None:
        """A person called this normal: its values are known from now on, its level is learned."""
        row = self.baselines.find(anomaly.subject)
        if row is None:
            return
        kind = KINDS.index(anomaly.kind)
        self._lessons.alerted.discard((row, kind))
        self._accepted.add((row, kind))
        if anomaly.kind in NOVEL:
            for value in anomaly.values:
                self._lessons.remember(row, kind - FIRST_NOVEL, value)
        if anomaly.kind == "drift":
            for name in ("filled_days", "drift", "drift_peak"):
                self.baselines.rows[name][row] = 0

    def frame(self) -> bytes:
        """What belongs to no subject, for ``restore``: the open hour and the calibration."""
        head = np.array([-1 if self._hour is None else self._hour, self._short], np.float64)
        return np.concatenate([head, self.calibration.months, self.calibration.counts.ravel()]).tobytes()

    def restore(self, frame: bytes) -> None:
        """Go on where another scorer stopped, after its baselines were loaded. A foreign frame is dropped."""
        shape = self.calibration.counts.shape
        values = np.frombuffer(frame, np.float64) if len(frame) % 8 == 0 else np.zeros(0)
        if len(values) != 2 + shape[0] + shape[0] * shape[1] or not np.isfinite(values).all() or (values[2:] < 0).any():
            return
        self._hour = None if values[0] < 0 else int(values[0])
        self._short = int(values[1])
        self.calibration.months = np.maximum(values[2 : 2 + shape[0]], 1.0)
        self.calibration.counts = values[2 + shape[0] :].reshape(shape).copy()
        used = self.baselines.used()
        open_rows = used[self.baselines.rows["hour"][used, 0] > 0].tolist()
        self._touched.update(open_rows)
        self._touched_short.update(open_rows)
        self._touched_day.update(used[self.baselines.rows["day"][used].sum(axis=1) > 0].tolist())

    def ends_window(self, time: float) -> bool:
        """Whether an event of that time lies beyond the open window."""
        return self._hour is None or int(time // SHORT_S) > self._short

    # -- taking events in -----------------------------------------------------------------------------------------

    def absorb(self, observations: Sequence[Observation]) -> None:
        """Add events to the open windows. Call ``advance`` first when they lie in a later window."""
        if not observations:
            return
        table, rows = self.baselines, self.baselines.rows
        principals = np.empty(len(observations), np.int64)
        groups: list[list[int]] = [[], [], []]
        sources: list[list[int]] = [[], [], []]
        for index, seen in enumerate(observations):
            principals[index] = row = table.row(seen.principal, seen.time)
            rows["principal"][row] = True
            if seen.role:
                rows["role"][row] = table.row(seen.role, seen.time)
            for place, subject in enumerate((seen.tool_subject, seen.tenant)):
                if subject:
                    groups[place].append(table.row(subject, seen.time))
                    sources[place].append(index)
        amounts = np.array(
            [(o.calls, o.tokens, o.read, o.sent, o.sent > 0, o.denials, o.errors) for o in observations], np.float64
        )
        times = np.array([o.time for o in observations])
        self._add(principals, amounts, times)
        self._sizes(principals, amounts[:, 1:4])
        for place in range(2):
            if groups[place]:
                chosen = np.array(sources[place])
                self._add(np.array(groups[place]), amounts[chosen], times[chosen])
        self._novelties(principals, observations)
        self.changed.update(self.baselines.key(row) for row in {*self._touched_now})
        self._touched_now.clear()

    def _add(self, rows: Rows, amounts: Floats, times: Floats) -> None:
        state = self.baselines.rows
        for name in ("hour", "short"):
            np.add.at(state[name], rows, amounts)
        np.add.at(state["day"], rows, amounts[:, :4])
        np.maximum.at(state["seen"], rows, times)
        unique = np.unique(rows).tolist()
        for touched in (self._touched, self._touched_short, self._touched_day, self._touched_now):
            touched.update(unique)

    def _sizes(self, rows: Rows, sizes: Floats) -> None:
        """Single events against what single events usually are, and sums to learn from when the hour ends."""
        state = self.baselines.rows
        present = sizes > 0
        levels = np.log1p(sizes)
        scale = np.maximum(state["size_scale"][rows], MIN_SCALE)
        z = np.where(state["size_count"][rows] >= WARM_DRAWS, (levels - state["size_mean"][rows]) / scale, 0.0)
        np.add.at(state["large"], rows, np.stack([present & (z > limit) for limit in LARGE], axis=1))
        levels = np.minimum(levels, np.where(z > CLIP, state["size_mean"][rows] + CLIP * scale, levels))
        learned = np.stack([present, np.where(present, levels, 0), np.where(present, levels**2, 0)], axis=1)
        np.add.at(state["sizes"], rows, learned)

    def _novelties(self, rows: Rows, observations: Sequence[Observation]) -> None:
        state = self.baselines.rows
        hashes = np.zeros((len(rows), len(NOVEL)), np.uint32)
        hashes[:, 0] = [o.address for o in observations]
        hashes[:, 1] = [o.tool for o in observations]
        hashes[:, 2] = [o.recipient for o in observations]
        last: dict[int, int] = {}
        for index, (row, tool) in enumerate(zip(rows.tolist(), hashes[:, 1].tolist(), strict=True)):
            if tool:
                before = last.get(row) or int(state["last_tool"][row])
                hashes[index, 3] = _pair(before, tool) if before else 0
                last[row] = tool
        for row, tool in last.items():
            state["last_tool"][row] = tool
        present = hashes != 0
        np.add.at(state["drawn"], rows, present)
        matches = state["known"][rows] == hashes[:, :, None]
        known = matches.any(axis=2)
        places = np.nonzero(present & known)
        np.add.at(state["known_count"], (rows[places[0]], places[1], matches[places].argmax(axis=1)), 1)
        for event, novel in zip(*np.nonzero(present & ~known), strict=True):
            self._new_value(int(rows[event]), int(novel), int(hashes[event, novel]))

    def _new_value(self, row: int, kind: int, value: int) -> None:
        state = self.baselines.rows
        if state["known_count"][row, kind].sum() < WARM_DRAWS:
            # The first values of a subject are not news: they are learned as they come.
            again = np.flatnonzero(state["known"][row, kind] == value)
            if len(again):
                state["known_count"][row, kind, again[0]] += 1
            else:
                self._lessons.remember(row, kind, value)
            return
        values = self._lessons.fresh.setdefault((row, kind), {})
        # A flood of new values is one anomaly: no more of them need be told apart.
        if value in values or len(values) < KNOWN:
            values[value] = values.get(value, 0) + 1

    # -- time passes ----------------------------------------------------------------------------------------------

    def advance(self, now: float) -> list[Anomaly]:
        """Score what is open; close windows that have ended by ``now`` and learn from them."""
        hour, short = int(now // HOUR_S), int(now // SHORT_S)
        if self._hour is None:
            self._hour, self._short = hour, short
        found = self._score_open(now)
        if short > self._short:
            self.baselines.rows["short"][list(self._touched_short)] = 0
            self._touched_short.clear()
            self._short = short
        if hour > self._hour:
            self._close_hour(self._hour)
            if hour // 24 > self._hour // 24:
                found += self._close_day((self._hour // 24 + 1) * DAY_S)
            # Hours in which nothing was running were not watched.
            self._hour = hour
        return found

    def _score_open(self, now: float) -> list[Anomaly]:
        rows = np.fromiter(self._touched_short, np.int64, len(self._touched_short))
        hour = 0 if self._hour is None else self._hour
        return [found for chunk in chunks(rows) for found in self._judge(chunk, hour, now)]

    def _judge(self, rows: Rows, hour: int, now: float) -> list[Anomaly]:
        """Score the open windows of ``rows``; alerts once for each subject, kind and hour."""
        scores, usual = self._scores(rows, hour % 24)
        state = self.baselines.rows
        state["peak"][rows] = np.maximum(state["peak"][rows], scores)
        strata = self._strata(rows)
        limits = self.calibration.thresholds(self.budgets)[np.arange(len(KINDS)), strata]
        found = []
        for index, kind in zip(*np.nonzero(scores >= limits), strict=True):
            row = int(rows[index])
            if (row, int(kind)) not in self._lessons.alerted and (row, int(kind)) not in self._accepted:
                self._lessons.alerted.add((row, int(kind)))
                place = int(kind) * STRATA + int(strata[index, kind])
                rate = self.calibration.rate(place, float(scores[index, kind]))
                found.append(
                    self._anomaly(row, int(kind), now, (float(scores[index, kind]), rate, float(usual[index, kind])))
                )
        return found

    def _strata(self, rows: Rows) -> NDArray[np.int64]:
        """1 for the kinds in which a subject is restless, 2 for subjects that are no principals."""
        state = self.baselines.rows
        strata = np.zeros((len(rows), len(KINDS)), np.int64)
        strata[:, 0] = state["dispersion"][rows] > 1.0
        strata[:, 1:4] = (state["median"][rows, 0] < FEW_CALLS)[:, None]
        strata[:, FIRST_NOVEL:DRIFT] = (state["known_count"][rows] == 1).sum(axis=2) >= RESTLESS
        strata[~state["principal"][rows]] = 2
        return strata

    def _anomaly(self, row: int, kind: int, now: float, shown: tuple[float, float, float]) -> Anomaly:
        score, rate, usual = shown
        values: tuple[int, ...] = ()
        if kind < 4:
            observed = float(self.baselines.rows["hour"][row, kind])
        elif kind in (DENIALS, ERRORS):
            observed = float(self.baselines.rows["hour"][row, AMOUNTS.index(KINDS[kind])])
        elif kind == HOUR:
            observed = float(self.baselines.rows["hour"][row, 0])
        else:
            values = tuple(self._lessons.fresh.get((row, kind - FIRST_NOVEL), ()))
            observed = float(len(values))
        grade = severity(rate, self.budgets[kind])
        subject = self.baselines.key(row)
        return Anomaly(subject, KINDS[kind], now, score, rate, grade, observed, usual, HOUR_S, values)

    # -- scores ---------------------------------------------------------------------------------------------------

    def _scores(self, rows: Rows, hour: int) -> tuple[Floats, Floats]:
        """Scores of the open windows, a column a kind, and what was usual."""
        state = self.baselines.rows[rows]
        own = self._warm(rows)
        scores = np.zeros((len(rows), len(KINDS)))
        usual = np.zeros((len(rows), len(KINDS)))
        judge = np.where(own, rows, state["role"])
        known = (judge >= 0) & self._warm(judge)
        base = self.baselines.rows[judge]
        levels = levels_of(state["hour"])
        level = np.where(
            base["filled"] >= WARM_WINDOWS,
            level_score(levels, base["median"], np.maximum(base["scale"], MIN_SCALE)),
            0.0,
        )
        level = np.where(levels > 0, level, 0.0)
        # What an hour of one call had is no mean.
        mean = expected_calls(state, hour)
        burst = np.maximum(
            count_score(state["short"][:, 0], mean * SHORT_S / HOUR_S, state["dispersion"]),
            count_score(state["hour"][:, 0], mean, state["dispersion"]),
        )
        scores[:, 0] = np.where(
            own & (state["hour"][:, 0] >= MIN_HOUR_CALLS), np.maximum(burst, level[:, 0]), level[:, 0]
        )
        for kind in (1, 2, 3):
            scores[:, kind] = np.maximum(level[:, kind], np.where(own, self._large_score(state, kind - 1), 0.0))
            usual[:, kind] = np.expm1(base["median"][:, kind])
        usual[:, 0] = np.where(own, mean, np.expm1(base["median"][:, 0]))
        for kind, column, least in ((DENIALS, 5, MINDENIALS), (ERRORS, 6, MINERRORS)):
            share = (base[AMOUNTS[column]] + 1.0) / (base["calls"] + 100.0)
            for window in ("short", "hour"):
                hits, trials = state[window][:, column], state[window][:, 0]
                enough = (hits >= least) & ((trials >= MIN_TRIALS) | (kind == DENIALS))
                score = np.where(enough, binomial_score(hits, trials, share), 0.0)
                scores[:, kind] = np.maximum(scores[:, kind], score)
            usual[:, kind] = share * state["hour"][:, 0]
        scores[:, HOUR] = np.where(own, self._hour_score(state, hour), 0.0)
        scores[~known] = 0.0
        self._novelty_scores(rows, state, own, scores)
        return scores, usual

    def _warm(self, rows: Rows) -> NDArray[np.bool_]:
        state = self.baselines.rows
        watched = state["watched"][rows].sum(axis=1) / 24.0
        return np.asarray((state["windows"][rows] >= WARM_WINDOWS) & (watched >= WARM_DAYS))

    def _large_score(self, state: NDArray[np.void], column: int) -> Floats:
        """More large single events than this subject has."""
        trials = np.maximum(state["sizes"][:, 0, column], 1.0)
        scores = [
            binomial_score(
                state["large"][:, which, column],
                trials,
                (state["large_count"][:, which, column] + expected * LARGE_WEIGHT)
                / (state["size_count"][:, column] + LARGE_WEIGHT),
            )
            for which, expected in enumerate(LARGE_SHARE)
        ]
        return np.maximum(scores[0], scores[1])

    def _hour_score(self, state: NDArray[np.void], hour: int) -> Floats:
        active = sum(weight * state["active"][:, (hour + shift) % 24] for shift, weight in KERNEL)
        watched = sum(weight * state["watched"][:, (hour + shift) % 24] for shift, weight in KERNEL)
        share = np.clip((active + 0.25) / (np.asarray(watched) + 0.5), 1e-9, 1.0)
        return np.asarray(np.where(state["hour"][:, 0] >= MIN_HOUR_CALLS, -np.log(share), 0.0))

    def _novelty_scores(self, rows: Rows, state: NDArray[np.void], own: NDArray[np.bool_], scores: Floats) -> None:
        for index, row in enumerate(rows.tolist()):
            if not own[index]:
                continue
            for kind in range(len(NOVEL)):
                values = self._lessons.fresh.get((row, kind))
                if not values:
                    continue
                counts = state["known_count"][index, kind]
                draws = float(counts.sum())
                if draws < WARM_DRAWS:
                    continue
                # Good and Turing: what was seen once tells how likely something unseen is.
                share = (float((counts == 1).sum()) + 0.5) / (draws + 1.0)
                # Coming back to a new value makes it weigh more, up to a point.
                uses = float(sum(min(count, MAX_USES) for count in values.values()))
                drawn = max(float(state["drawn"][index, kind]), uses)
                scores[index, FIRST_NOVEL + kind] = binomial_score(uses, drawn, share)

    # -- learning -------------------------------------------------------------------------------------------------

    def _close_hour(self, hour: int) -> None:
        state = self.baselines.rows
        used = self.baselines.used()
        rows = np.fromiter(self._touched, np.int64, len(self._touched))
        if len(rows):
            for chunk in chunks(used[self._warm(used)]):
                self.calibration.watch(self._strata(chunk), HOUR_S / MONTH_S)
            for chunk in chunks(rows):
                self.calibration.add(state["peak"][chunk].astype(np.float64), self._strata(chunk))
            self.changed.update(self.baselines.key(int(row)) for row in rows)
        self._lessons.learn(hour, rows, used, self.changed)
        for name in ("hour", "peak", "drawn", "sizes", "large"):
            state[name][rows] = 0
        self._touched.clear()
        self._lessons.fresh.clear()
        self._lessons.alerted.clear()
        self._accepted.clear()

    def _close_day(self, now: float) -> list[Anomaly]:
        state = self.baselines.rows
        rows = np.fromiter(self._touched_day, np.int64, len(self._touched_day))
        self._touched_day.clear()
        if not len(rows):
            return []
        levels = np.log1p(state["day"][rows])
        state["day"][rows] = 0
        filled = state["filled_days"][rows]
        ready = filled >= 5
        z = (levels - state["day_median"][rows]) / np.maximum(state["day_scale"][rows], MIN_SCALE)
        step = np.where(ready[:, None], np.clip(z, *DAY_RANGE) - SLACK, 0.0)
        drift = np.maximum(state["drift"][rows] + step, 0.0)
        state["drift"][rows] = drift
        score = drift.max(axis=1)
        # One excursion of the sum is one event, however many days it lasts.
        peak = np.where(score > 0, state["drift_peak"][rows], 0.0)
        rose = score > peak
        strata = np.where(state["principal"][rows], 0, 2)
        for stratum in (0, 2):
            chosen = rose & (strata == stratum)
            self.calibration.move(DRIFT * STRATA + stratum, peak[chosen].astype(float), score[chosen].astype(float))
        state["drift_peak"][rows] = np.maximum(peak, score)
        limit = self.calibration.thresholds(self.budgets)[DRIFT, strata]
        found = []
        for index in np.flatnonzero(score >= limit):
            column = int(drift[index].argmax())
            rate = self.calibration.rate(DRIFT * STRATA + int(strata[index]), float(score[index]))
            found.append(
                Anomaly(
                    self.baselines.key(int(rows[index])),
                    "drift",
                    now,
                    float(score[index]),
                    rate,
                    severity(rate, self.budgets[DRIFT]),
                    float(np.expm1(levels[index, column])),
                    float(np.expm1(state["day_median"][rows[index], column])),
                    DAY_S,
                )
            )
        # While the sum is high the baseline stands still.
        self._lessons.learn_days(rows, levels, ready[:, None] & ((drift > limit[:, None] / 3) | (z > CLIP)))
        return found


def _pair(first: int, second: int) -> int:
    """A hash of two tools in this order, never 0."""
    return ((first * 0x9E3779B1) ^ (second + 0x7F4A7C15) * 0x85EBCA6B) & 0xFFFFFFFF or 1
