"""Train the injection model: ``CORPORA=folder python -m benchmarks.injection.train`` writes the file in the package.

Logistic regression on hashed word n-grams by L-BFGS, numpy only, one thread, fixed seeds: the same corpora give the
same bytes. Two heads: ``explicit`` (override, extraction, jailbreak, forgery) and ``request`` (any request to an
assistant, for text in which none belongs). An attack is an attack somewhere: after a first fit only its highest
windows count as positive. Named thresholds are set on scores of models that had not seen the source family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agentguard.detect.model import BUCKETS, NORM, Head
from agentguard.detect.ngrams import CHUNK, KINDS, words
from agentguard.text.views import read
from benchmarks.injection.examples import Example

__all__ = ["SPANS", "Windows", "fit_head", "folded", "windows_of"]

SPANS = {"explicit": 40, "request": 16}
# Windows of one text that training looks at; more would let a few long texts decide.
MOST_WINDOWS = 60
L2 = 1e-5
ITERATIONS = 40
REFINE = 15
MEMORY = 8
# Positives keep the windows within this distance of the text's highest logit.
MARGIN = 1.0
# A corpus family weighs like its root times this many template texts.
FAMILY_WEIGHT = 6.0
# Weights are signed bytes; the few beyond this quantile are cut.
CLIP = 0.9999
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of many texts: bucket numbers (``BUCKETS`` pads), how many words each has, which text it is of."""

    buckets: NDArray[np.int32]
    counts: NDArray[np.int64]
    owners: NDArray[np.int64]


def folded(text: str) -> str:
    """The first reading of a text, which is what training sees."""
    return read(text).readings[0].text


def windows_of(texts: Sequence[str], span: int) -> Windows:
    """Windows of ``span`` words; long ones half over the one before."""
    stride = span // 2 if span > 20 else span
    rows: list[NDArray[np.int32]] = []
    counts: list[int] = []
    owners: list[int] = []
    for owner, text in enumerate(texts):
        features = words(text[:CHUNK]).features
        count = features.shape[1]
        starts = list(range(0, max(1, count - span + stride), stride)) if count else []
        if len(starts) > MOST_WINDOWS:
            starts = [starts[i] for i in np.linspace(0, len(starts) - 1, MOST_WINDOWS).astype(int)]
        for start in starts:
            part = features[:, start : start + span].astype(np.int32).ravel()
            row = np.full(span * KINDS, BUCKETS, np.int32)
            row[: len(part)] = part
            rows.append(row)
            counts.append(len(part) // KINDS)
            owners.append(owner)
    return Windows(np.array(rows), np.array(counts), np.array(owners))


def fit_head(examples: Sequence[Example], windows: Windows, use: NDArray[np.bool_], name: str) -> Head:
    """One head from the examples that ``use`` marks. ``windows`` were made of all of them, in order."""
    labels = np.array([getattr(e, name) is True for e in examples])
    used = np.array([getattr(e, name) is not None for e in examples]) & use
    chosen = np.flatnonzero(used[windows.owners])
    owners = windows.owners[chosen]
    target = labels[owners].astype(np.float64)
    weight = _weights(examples, owners, target)
    inputs, columns = _compact(windows.buckets[chosen])
    scale = 1.0 / np.sqrt(KINDS * windows.counts[chosen] + NORM)
    solution = _logistic(inputs, scale, target, weight, len(columns))
    logits = _logits(solution, inputs, scale)
    highest = np.full(len(examples), -np.inf)
    np.maximum.at(highest, owners, logits)
    keep = (target == 0) | (logits >= highest[owners] - MARGIN)
    solution = _logistic(inputs[keep], scale[keep], target[keep], weight[keep], len(columns), solution)
    return _quantized(solution, columns, SPANS[name])


def _weights(examples: Sequence[Example], owners: NDArray[np.int64], target: Floats) -> Floats:
    """A text counts once when positive, by the root of its windows when negative; families by the root of their size."""
    of_text = np.bincount(owners, minlength=len(examples))[owners]
    weight = np.where(target == 1, 1.0 / of_text, 1.0 / np.sqrt(of_text))
    groups, number = np.unique([examples[o].group for o in owners], return_inverse=True)
    for index, group in enumerate(groups):
        inside = number == index
        if not group.startswith("own"):
            weight[inside] *= FAMILY_WEIGHT / np.sqrt(weight[inside].sum())
    weight[target == 1] *= 0.5 * weight[target == 0].sum() / weight[target == 1].sum()
    return np.asarray(weight / weight.sum())


def _compact(buckets: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The same windows over the buckets that occur at least twice; all others read the last column, which stays 0."""
    seen = np.bincount(buckets.ravel(), minlength=BUCKETS + 1)
    columns = np.flatnonzero(seen[:BUCKETS] >= 2)
    number = np.full(BUCKETS + 1, len(columns), np.int32)
    number[columns] = np.arange(len(columns), dtype=np.int32)
    return number[buckets], columns


def _logits(solution: Floats, inputs: NDArray[np.int32], scale: Floats) -> Floats:
    table = solution.astype(np.float32)
    table[-1] = 0.0
    return np.asarray(solution[-1] + scale * table[inputs].sum(axis=1, dtype=np.float64))


def _logistic(
    inputs: NDArray[np.int32],
    scale: Floats,
    target: Floats,
    weight: Floats,
    columns: int,
    start: Floats | None = None,
) -> Floats:
    """Weights per column, the bias last."""
    sign = 2.0 * target - 1.0

    def loss(point: Floats) -> tuple[float, Floats]:
        margin = sign * _logits(point, inputs, scale)
        slope = -weight * sign / (1.0 + np.exp(np.clip(margin, -60, 60)))
        spread = np.repeat(slope * scale, inputs.shape[1])
        gradient: Floats = np.bincount(inputs.ravel(), spread, columns + 1).astype(np.float64)
        gradient[:-1] += L2 * point[:-1]
        gradient[-1] = slope.sum()
        value = float(weight @ np.logaddexp(0.0, -margin) + 0.5 * L2 * point[:-1] @ point[:-1])
        return value, gradient

    return _lbfgs(loss, np.zeros(columns + 1), ITERATIONS) if start is None else _lbfgs(loss, start, REFINE)


def _lbfgs(loss: Callable[[Floats], tuple[float, Floats]], point: Floats, iterations: int) -> Floats:
    """Limited-memory BFGS (Nocedal and Wright, algorithm 7.5) with backtracking to the Armijo condition."""
    value, gradient = loss(point)
    steps: list[tuple[Floats, Floats, float]] = []
    for _ in range(iterations):
        direction = -_two_loop(gradient, steps)
        slope = float(direction @ gradient)
        length = 1.0 if steps else 1.0 / max(1e-12, float(np.abs(gradient).sum()))
        while True:
            candidate = point + length * direction
            new_value, new_gradient = loss(candidate)
            if new_value <= value + 1e-4 * length * slope or length < 1e-10:
                break
            length *= 0.5
        moved, turned = candidate - point, new_gradient - gradient
        if float(moved @ turned) > 1e-18:
            steps = [*steps[-MEMORY + 1 :], (moved, turned, 1.0 / float(moved @ turned))]
        done = abs(value - new_value) < 1e-7 * max(1.0, abs(value))
        point, value, gradient = candidate, new_value, new_gradient
        if done:
            break
    return point


def _two_loop(gradient: Floats, steps: list[tuple[Floats, Floats, float]]) -> Floats:
    result = gradient.copy()
    kept: list[float] = []
    for moved, turned, inverse in reversed(steps):
        kept.append(inverse * float(moved @ result))
        result -= kept[-1] * turned
    if steps:
        moved, turned, inverse = steps[-1]
        result *= 1.0 / (inverse * float(turned @ turned))
    for (moved, turned, inverse), share in zip(steps, reversed(kept), strict=True):
        result += moved * (share - inverse * float(turned @ result))
    return result


def _quantized(solution: Floats, columns: NDArray[np.int64], span: int) -> Head:
    weights = solution[:-1]
    limit = float(np.quantile(np.abs(weights), CLIP)) or 1.0
    scale = float(np.float32(limit / 127.0))
    table = np.zeros(BUCKETS, np.int8)
    table[columns] = np.clip(np.rint(weights / scale), -127, 127).astype(np.int8)
    return Head(table, scale, round(float(solution[-1]), 6), span)
