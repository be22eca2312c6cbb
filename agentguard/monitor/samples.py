"""Activity samples that an application reports itself: each is one closed window of its user.

Scored first and learned after, like the windows of the guard's own events: a spike does not hide the next, for it is
quarantined; a new address is new although it is about to be learned; a user that never varied may vary by
``MIN_SCALE``; errors need a minimum of trials. Until ``WARM_SAMPLES`` samples a user is unknown and nothing is said.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agentguard.monitor.baseline import KNOWN, SAMPLE, Baselines
from agentguard.monitor.surprise import STRATA, Calibration, binomial_score, level_score, severity

Floats: TypeAlias = NDArray[np.float64]

__all__ = ["Activity", "Samples", "Strange"]

KINDS = ("calls", "tokens", "errors", "address")
WARM_SAMPLES = 10
# One of one is no rate.
MIN_ERRORS, MIN_TRIALS = 3, 10
MIN_SCALE, MAD, CLIP = 0.2, 1.4826, 3.0
PRIOR_SCALE, PRIOR_WEIGHT = 0.5, 4.0
# A sample counts as an hour of its user: rates are per 720 of them.
MONTH = 720.0
# Samples come without a fleet to compare with. At a dozen samples from one address a second one is worth telling.
ADDRESS_WEIGHT = 3.0


@dataclass(frozen=True, slots=True)
class Activity:
    """One sample; ``address`` is a hash, 0 when there is none."""

    calls: float
    tokens: float
    errors: float
    total: float
    address: int


@dataclass(frozen=True, slots=True)
class Strange:
    """What is unusual about one sample."""

    kind: str
    rate: float
    severity: str
    observed: float
    usual: float


class Samples:
    """Baselines of users by their samples. One thread uses it.

    Args:
        capacity: users at most; then the ones with the least history are forgotten, and unknown again.
        budget: false alerts to expect in 720 samples, over all kinds.
    """

    def __init__(self, *, capacity: int, budget: float, seed: int = 0) -> None:
        self.baselines = Baselines(capacity)
        self._calibration = Calibration(len(KINDS))
        self._budget = budget / len(KINDS)
        self._random = np.random.default_rng(seed)

    def known(self, user: str) -> bool:
        """Whether the user has a baseline."""
        row = self.baselines.find(user)
        return row is not None and float(self.baselines.rows["windows"][row]) >= WARM_SAMPLES

    def observe(self, user: str, activity: Activity, now: float) -> list[Strange]:
        """Score a sample, then learn what of it was not surprising."""
        row = self.baselines.row(user, now)
        state = self.baselines.rows
        state["seen"][row] = max(float(state["seen"][row]), now)
        warm = self.known(user)
        scores, usual = self._scores(row, activity) if warm else (np.zeros(len(KINDS)), np.zeros(len(KINDS)))
        limits = self._calibration.thresholds([self._budget] * len(KINDS))[:, 0]
        held = scores >= limits
        found = [self._strange(int(kind), scores, usual, activity) for kind in np.flatnonzero(held)]
        if warm:
            strata = np.zeros((1, len(KINDS)), np.int64)
            self._calibration.watch(strata, 1 / MONTH)
            # What is alerted does not teach what is usual, or a burst would raise the bar for the next.
            self._calibration.add(np.where(held, 0.0, scores)[None, :], strata)
        self._learn(row, activity, held)
        return found

    def accept(self, user: str, address: int) -> None:
        """A person called an address normal."""
        row = self.baselines.find(user)
        if row is not None:
            self._remember(row, address)

    def _strange(self, kind: int, scores: Floats, usual: Floats, activity: Activity) -> Strange:
        rate = self._calibration.rate(kind * STRATA, float(scores[kind]))
        observed = (activity.calls, activity.tokens, activity.errors, 1.0)[kind]
        return Strange(KINDS[kind], rate, severity(rate, self._budget), observed, float(usual[kind]))

    def _scores(self, row: int, activity: Activity) -> tuple[Floats, Floats]:
        state = self.baselines.rows[row]
        scores, usual = np.zeros(len(KINDS)), np.zeros(len(KINDS))
        for column, value in enumerate((activity.calls, activity.tokens)):
            if state["filled"][column] >= WARM_SAMPLES:
                median, scale = float(state["median"][column]), float(state["scale"][column])
                scores[column] = float(level_score(math.log1p(value), median, scale))
                usual[column] = math.expm1(median)
        share = (float(state["errors"]) + 0.5) / (float(state["calls"]) + 20.0)
        if activity.errors >= MIN_ERRORS and activity.total >= MIN_TRIALS:
            scores[2] = float(binomial_score(activity.errors, activity.total, share))
        usual[2] = share * activity.total
        if activity.address and activity.address not in state["known"][0]:
            counts = state["known_count"][0]
            seen = float(counts.sum())
            if seen >= WARM_SAMPLES:
                unseen = (float((counts == 1).sum()) + 0.5) / (seen + 1.0)
                # An address is one draw: its surprise is how unlikely a new one was. It is told at its first use, or
                # one among a dozen samples could never be told.
                scores[3] = -math.log(unseen) * ADDRESS_WEIGHT
        return scores, usual

    def _learn(self, row: int, activity: Activity, held: NDArray[np.bool_]) -> None:
        state = self.baselines.rows
        for column, value in enumerate((activity.calls, activity.tokens)):
            if not held[column]:
                self._sample(row, column, math.log1p(value))
        if not held[2]:
            state["errors"][row] = state["errors"][row] * 0.995 + activity.errors
            state["calls"][row] = state["calls"][row] * 0.995 + activity.total
        if activity.address and not held[3]:
            known = np.flatnonzero(state["known"][row, 0] == activity.address)
            if len(known):
                count = int(state["known_count"][row, 0, known[0]])
                state["known_count"][row, 0, known[0]] = min(count + 1, 60_000)
            else:
                self._remember(row, activity.address)
        state["windows"][row] += 1

    def _sample(self, row: int, column: int, level: float) -> None:
        state = self.baselines.rows
        filled = int(state["filled"][row, column])
        if filled >= WARM_SAMPLES:
            level = min(level, float(state["median"][row, column] + CLIP * state["scale"][row, column]))
        if filled < SAMPLE:
            state["sample"][row, column, filled] = level
            filled += 1
            state["filled"][row, column] = filled
        elif self._random.random() < 0.25:
            state["sample"][row, column, self._random.integers(SAMPLE)] = level
        values = state["sample"][row, column, :filled]
        median = float(np.median(values))
        scale = max(MAD * float(np.median(np.abs(values - median))), MIN_SCALE)
        state["median"][row, column] = median
        state["scale"][row, column] = math.sqrt(
            (filled * scale**2 + PRIOR_WEIGHT * PRIOR_SCALE**2) / (filled + PRIOR_WEIGHT)
        )

    def _remember(self, row: int, address: int) -> None:
        state = self.baselines.rows
        place = int(state["known_next"][row, 0]) % KNOWN
        state["known"][row, 0, place] = address
        state["known_count"][row, 0, place] = 1
        state["known_next"][row, 0] = place + 1
