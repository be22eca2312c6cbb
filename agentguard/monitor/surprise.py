"""How surprising a number is: scores from tail bounds, and their calibration to a rate that means something.

A **score** is a bound on ``-ln P(at least so much)``: Chernoff's for counts (negative binomial, binomial), the
Gaussian one for robustly standardised logarithms. Models err, so a score alone says little. ``Calibration`` counts
which scores the whole fleet shows and turns one into a **rate**: how often a principal shows that much in a month.
The rate decides about an alert and its severity; words never do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["CRITICAL", "HIGH", "STRATA", "Calibration", "binomial_score", "count_score", "level_score", "severity"]

Floats = NDArray[np.float64]

# A severity above medium needs an event so many times rarer than what is alerted at all.
HIGH = 10.0
CRITICAL = 100.0

STRATA = 3
BIN = 0.25
BINS = 800
# Rates are read off where at least so many principals were seen beyond; further out the tail is extrapolated.
ENOUGH = 20.0
# The rate beside which the tail is extrapolated, per principal and month. Far above the rate of attacks that a fleet
# lives with, so that they do not decide what counts as usual.
ANCHOR = 0.25
# What a tail is never taken to be: steeper than the model's own, or nearly flat.
STEEPEST, FLATTEST = 1.0, 0.2
# Before anything was seen: tests that the model would get right, of one principal in one month.
PRIOR_TESTS = 300.0


def count_score(count: ArrayLike, mean: ArrayLike, dispersion: ArrayLike) -> Floats:
    """Chernoff bound for a negative binomial count of the given mean and variance ``mean + dispersion * mean**2``."""
    x = np.asarray(count, np.float64)
    mu = np.maximum(np.asarray(mean, np.float64), 1e-6)
    r = 1 / np.maximum(np.asarray(dispersion, np.float64), 1e-6)
    rate = x * np.log(np.maximum(x, 1e-12) / mu) - (x + r) * np.log((x + r) / (mu + r))
    return np.where(x > mu, np.maximum(rate, 0.0), 0.0)


def binomial_score(hits: ArrayLike, trials: ArrayLike, share: ArrayLike) -> Floats:
    """Chernoff bound for at least ``hits`` of ``trials`` at the given share: ``n KL(hits/n || share)``."""
    n = np.maximum(np.asarray(trials, np.float64), 1e-12)
    p = np.clip(np.asarray(share, np.float64), 1e-9, 1 - 1e-9)
    q = np.clip(np.asarray(hits, np.float64) / n, 0.0, 1.0)
    rest = np.where(q < 1, (1 - q) * np.log(np.maximum(1 - q, 1e-300) / (1 - p)), 0.0)
    rate = n * (np.where(q > 0, q * np.log(np.maximum(q, 1e-300) / p), 0.0) + rest)
    return np.where(q > p, np.maximum(rate, 0.0), 0.0)


def level_score(value: ArrayLike, median: ArrayLike, scale: ArrayLike) -> Floats:
    """Gaussian bound for a value above its median, in units of the robust scale."""
    z = (np.asarray(value, np.float64) - np.asarray(median, np.float64)) / np.asarray(scale, np.float64)
    return np.where(z > 0, z * z / 2, 0.0)


def severity(rate: float, budget: float) -> str:
    """``medium``, ``high`` or ``critical``: by how much rarer than the budget of false alerts it is."""
    if rate <= budget / CRITICAL:
        return "critical"
    return "high" if rate <= budget / HIGH else "medium"


class Calibration:
    """Which scores the fleet shows, by kind; memory is fixed.

    Each kind has three strata: steady principals, restless ones, and subjects that are no principals. What the restless
    show all the time says nothing of what is usual for the steady. Rows of ``counts`` are ``kind * STRATA + stratum``.

    Args:
        kinds: how many kinds of score there are.
        tests: by kind, how many tests a month a principal is supposed to meet before a fleet was seen.
    """

    def __init__(self, kinds: int, tests: Mapping[int, float] | None = None) -> None:
        edges = np.arange(BINS) * BIN
        shape = np.exp(-edges) - np.exp(-edges - BIN)
        expected = [(tests or {}).get(kind, PRIOR_TESTS) for kind in range(kinds)]
        self.counts = np.repeat(np.array(expected), STRATA)[:, None] * shape
        # Principal-months watched, the prior's included.
        self.months = np.ones(kinds * STRATA)
        self._tails: dict[int, tuple[float, float, float]] = {}

    def watch(self, strata: NDArray[np.int64], months: float) -> None:
        """Take note that subjects were watched for so long; a row each, a column a kind, the stratum of each."""
        kinds = strata.shape[1]
        rows = strata + np.arange(kinds) * STRATA
        self.months += np.bincount(rows.ravel(), minlength=len(self.months)) * months
        self._tails.clear()

    def add(self, scores: Floats, strata: NDArray[np.int64]) -> None:
        """Take note of what subjects showed in one window. A score of zero is no test."""
        index, kind = np.nonzero(scores > 0)
        places = kind * STRATA + strata[index, kind]
        np.add.at(self.counts, (places, _bin(scores[index, kind])), 1.0)
        self._tails.clear()

    def move(self, place: int, before: Floats, after: Floats) -> None:
        """Scores that rose further: each counts once, at its highest."""
        np.add.at(self.counts[place], _bin(before[before > 0]), -1.0)
        np.add.at(self.counts[place], _bin(after), 1.0)
        np.maximum(self.counts[place], 0.0, out=self.counts[place])
        self._tails.clear()

    def rate(self, place: int, score: float) -> float:
        """How often one subject shows this score or more in a month."""
        anchor, level, steepness = self._tail(place)
        if score <= anchor:
            return float(self.counts[place, int(score / BIN) :].sum() / self.months[place])
        return float(level * np.exp(-steepness * (score - anchor)))

    def threshold(self, place: int, budget: float) -> float:
        """The score that is shown at the given rate."""
        anchor, level, steepness = self._tail(place)
        if level <= budget:
            above = self.counts[place][::-1].cumsum()[::-1] / self.months[place]
            return max(BIN, float(np.argmax(above <= budget)) * BIN)
        return anchor + float(np.log(level / budget)) / steepness

    def thresholds(self, budgets: Sequence[float]) -> Floats:
        """Those of every kind (rows, each with its budget) and stratum (columns)."""
        found = [self.threshold(place, budgets[place // STRATA]) for place in range(len(self.counts))]
        return np.array(found).reshape(-1, STRATA)

    def _tail(self, place: int) -> tuple[float, float, float]:
        if place not in self._tails:
            beyond = self.counts[place][::-1].cumsum()[::-1]
            enough = max(ENOUGH, ANCHOR * float(self.months[place]))
            # Scores that enough subjects reached; then what eight times as many reached: the slope between.
            near = int(np.searchsorted(-beyond, -enough, side="right")) - 1
            inner = max(int(np.searchsorted(-beyond, -8 * enough, side="right")) - 1, 0)
            if near <= 0:
                self._tails[place] = (0.0, float(beyond[0] / self.months[place]), STEEPEST)
            else:
                drop = float(np.log(beyond[inner] / beyond[near])) if near > inner else 0.0
                steepness = float(np.clip(drop / max((near - inner) * BIN, BIN), FLATTEST, STEEPEST))
                self._tails[place] = (near * BIN, float(beyond[near] / self.months[place]), steepness)
        return self._tails[place]


def _bin(scores: Floats) -> NDArray[np.int64]:
    return np.minimum(scores / BIN, BINS - 1).astype(np.int64)
