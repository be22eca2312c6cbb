"""Scores are bounds that hold, and calibration turns them into rates that are true of the fleet."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agentguard.monitor.surprise import STRATA, Calibration, binomial_score, count_score, level_score, severity


@given(hits=st.integers(1, 60), trials=st.integers(1, 60), share=st.floats(0.001, 0.9))
def test_a_binomial_score_never_claims_more_than_the_exact_tail(hits: int, trials: int, share: float) -> None:
    hits = min(hits, trials)
    tail = sum(math.comb(trials, k) * share**k * (1 - share) ** (trials - k) for k in range(hits, trials + 1))

    score = float(binomial_score(hits, trials, share))

    assert score <= -math.log(tail) + 1e-6


@given(count=st.integers(0, 400), mean=st.floats(0.01, 100), dispersion=st.floats(0.02, 6))
def test_a_count_score_is_finite_and_grows_with_the_count(count: int, mean: float, dispersion: float) -> None:
    score, more = (float(count_score(x, mean, dispersion)) for x in (count, count + 1))

    assert 0 <= score <= more < math.inf


def test_a_wider_spread_makes_a_count_less_surprising() -> None:
    assert count_score(50, 10, 1.0) < count_score(50, 10, 0.1)


@pytest.mark.parametrize("value", [0.0, 4.9, 5.0], ids=["none", "below", "at-the-median"])
def test_what_is_not_above_the_median_is_no_surprise(value: float) -> None:
    assert level_score(value, 5.0, 1.0) == 0


def test_a_rate_is_how_often_the_fleet_shows_it() -> None:
    """Exponential scores of 1,000 principals in 300 windows each: the rate is that of the distribution."""
    random = np.random.default_rng(5)
    calibration = Calibration(1)
    strata = np.zeros((1_000, 1), np.int64)
    for _ in range(300):
        calibration.watch(strata, 1 / 300)
        calibration.add(random.exponential(1.0, (1_000, 1)), strata)

    for score in (3.0, 6.0, 9.0):
        assert calibration.rate(0, score) == pytest.approx(300 * math.exp(-score), rel=0.5)
    assert calibration.rate(0, calibration.threshold(0, 0.05)) == pytest.approx(0.05, rel=0.3)


def test_a_fleet_with_heavier_tails_needs_a_higher_score() -> None:
    """Where the model errs for everybody, nobody is alerted for it."""
    random = np.random.default_rng(5)
    light, heavy = Calibration(1), Calibration(1)
    strata = np.zeros((500, 1), np.int64)
    for _ in range(300):
        for calibration, scale in ((light, 1.0), (heavy, 3.0)):
            calibration.watch(strata, 1 / 300)
            calibration.add(random.exponential(scale, (500, 1)), strata)

    assert heavy.threshold(0, 0.05) > 2 * light.threshold(0, 0.05)


def test_a_few_attackers_do_not_decide_what_is_usual() -> None:
    """One principal in a hundred shows enormous scores all the time it is watched; the threshold hardly moves."""
    random = np.random.default_rng(5)
    clean, attacked = Calibration(1), Calibration(1)
    strata = np.zeros((500, 1), np.int64)
    for window in range(300):
        scores = random.exponential(1.0, (500, 1))
        for calibration in (clean, attacked):
            calibration.watch(strata, 1 / 300)
            calibration.add(scores, strata)
        if window % 60 == 0:
            attacked.add(np.full((5, 1), 60.0), strata[:5])

    assert attacked.threshold(0, 0.05) < clean.threshold(0, 0.05) + 2


def test_strata_do_not_speak_for_each_other() -> None:
    calibration = Calibration(1)
    restless = np.ones((100, 1), np.int64)
    for _ in range(100):
        calibration.watch(restless, 0.1)
        calibration.add(np.full((100, 1), 20.0), restless)

    assert calibration.threshold(0, 0.05) < 12
    assert calibration.threshold(1, 0.05) > 20
    assert len(calibration.counts) == STRATA


@pytest.mark.parametrize(
    ("rate", "expected"),
    [
        pytest.param(0.05, "medium", id="at-the-budget"),
        pytest.param(0.005, "high", id="ten-times-rarer"),
        pytest.param(0.0005, "critical", id="hundred-times-rarer"),
    ],
)
def test_severity_follows_from_the_rate_alone(rate: float, expected: str) -> None:
    assert severity(rate, 0.05) == expected
