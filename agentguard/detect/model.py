"""The linear model of injections: hashed word n-grams, overlapping windows, the highest window wins.

``model/injection.bin`` is made by ``benchmarks/injection/train.py`` (``make train``); docs/model-card.md says from
what. Layout: magic, SHA-256 of all that follows, length of the JSON header (4 bytes, little endian), header, weights
(one signed byte per bucket, heads one after the other, zlib). numpy and the file are loaded on the first text.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np

from agentguard.detect.ngrams import BITS, CHUNK, KINDS, VERSION, words
from agentguard.errors import ConfigError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAGIC", "NORM", "Head", "Model", "Window", "evidence", "load", "parse", "serialize"]

MAGIC = b"AGNGRAM1"
BUCKETS = KINDS << BITS
# Added to the number of features under the root: a text of three words must not score like a page.
NORM = 20.0
# A greeting is no evidence: each word short of this many takes one off the logit.
BRIEF = 6
STRICT, BALANCED, PERMISSIVE = 0.3, 0.5, 0.8
# What the grammar's log odds count beside the model's logit, and what keeps them finite. Chosen, like the two numbers
# below, on source families left out of training.
GRAMMAR_SHARE = 1.5
SOFT = 0.1
# Prose about attacks uses several words of the trade: each beyond the first, up to three, takes this off the logit.
DISCOUNT = 1.0
# From here the grammar decides alone, unless the text talks about attacks; between the two, with one such word.
CERTAIN, CERTAIN_IN_DISCUSSION = 0.6, 0.8
MOST_REQUEST = 0.49
# A planted request is a sentence among others: windows of fixed length found half as many on families left out.
BY_SENTENCE = frozenset({"request"})
SHORTEST = 4
_SENTENCE_END = re.compile(r"[.!?\n|]+")
# Pieces of a long text overlap by this many characters, more than a window of words usually has.
OVERLAP = 600


@dataclass(frozen=True, slots=True)
class Window:
    """The highest window: its logit and its range in the text that was read."""

    logit: float
    start: int
    end: int


NOTHING = Window(-math.inf, 0, 0)


@dataclass(frozen=True, slots=True)
class Head:
    """One linear question to the same features: byte weights times ``scale``, plus ``bias``, over ``span`` words."""

    weights: NDArray[np.int8]
    scale: float
    bias: float
    span: int

    def best(self, features: NDArray[np.uint32]) -> tuple[float, int, int]:
        """Logit, first and last word of the highest window. The features are not empty."""
        per_word = self.weights.take(features).sum(axis=0, dtype=np.int32)
        count = len(per_word)
        if count <= self.span:
            return self._logit(float(per_word.sum()), count), 0, count - 1
        sums = np.cumsum(per_word, dtype=np.int32)
        windows = sums[self.span - 1 :].copy()
        windows[1:] -= sums[: -self.span]
        at = int(windows.argmax())
        return self._logit(float(windows[at]), self.span), at, at + self.span - 1

    def best_sentence(self, features: NDArray[np.uint32], edges: NDArray[np.int64]) -> tuple[float, int, int]:
        """The same over whole sentences between the word numbers ``edges``; ``-inf`` when all are too short."""
        sums = np.zeros(features.shape[1] + 1, np.int32)
        self.weights.take(features).sum(axis=0, dtype=np.int32).cumsum(out=sums[1:])
        totals = sums.take(edges)
        counts = edges[1:] - edges[:-1]
        logits = self.scale * (totals[1:] - totals[:-1]) / np.sqrt(KINDS * counts + NORM)
        logits -= np.maximum(0, BRIEF - counts)
        logits[counts < SHORTEST] = -np.inf
        at = int(logits.argmax())
        return self.bias + float(logits[at]), int(edges[at]), max(int(edges[at]), int(edges[at + 1]) - 1)

    def _logit(self, total: float, count: int) -> float:
        brief = max(0, BRIEF - count)
        return self.bias + self.scale * total / math.sqrt(KINDS * count + NORM) - brief


@dataclass(frozen=True, slots=True)
class Model:
    """Heads by name, and ``anchors``: per channel and head the raw scores that the named thresholds stand for."""

    heads: Mapping[str, Head]
    anchors: Mapping[str, Mapping[str, tuple[float, float, float]]]

    def score(
        self, channel: str, grammar: float, explicit: float, request: float = -math.inf, *, discussed: int = 0
    ) -> float:
        """One score in 0..1 of the grammar's score and the two logits; 0.3, 0.5 and 0.8 are the named thresholds.

        ``request`` counts in text by tools and agents only, and never reaches the balanced threshold: a plain request
        is suspicious there, not an attack for certain. ``discussed``: words about attacks that the text uses.
        """
        anchors = self.anchors[channel]
        learned = _calibrated(evidence(explicit, grammar, discussed), anchors["explicit"])
        if "request" in anchors:
            learned = max(learned, min(MOST_REQUEST, _calibrated(request, anchors["request"])))
        certain = (CERTAIN, CERTAIN, CERTAIN_IN_DISCUSSION)[discussed] if discussed < 3 else 1.0
        return max(learned, grammar) if grammar >= certain else learned

    def narrowed(self, name: str, text: str, window: Window) -> Window:
        """The stretch of a window that speaks for the head most: what a reader should look at."""
        piece = words(text[window.start : window.end][:CHUNK])
        per_word = self.heads[name].weights.take(piece.features).sum(axis=0, dtype=np.int32).tolist()
        best, first, last = -1, 0, len(per_word) - 1
        total, begin = 0, 0
        for index, value in enumerate(per_word):
            if total <= 0:
                total, begin = 0, index
            total += value
            if total > best:
                best, first, last = total, begin, index
        return Window(window.logit, window.start + int(piece.starts[first]), window.start + int(piece.ends[last]))

    def alone(self, channel: str, head: str, logit: float) -> float:
        """What one head says without the grammar, on the same scale."""
        return min(
            MOST_REQUEST if head == "request" else 1.0,
            _calibrated(logit if head == "request" else evidence(logit, 0.0, 0), self.anchors[channel][head]),
        )

    def windows(self, text: str, names: tuple[str, ...]) -> dict[str, Window]:
        """The highest window per named head over all of ``text`` (folded to lower case)."""
        found = dict.fromkeys(names, NOTHING)
        for offset in range(0, max(1, len(text) - OVERLAP), CHUNK - OVERLAP):
            piece = words(text[offset : offset + CHUNK] if len(text) > CHUNK else text)
            if not len(piece.starts):
                continue
            for name in names:
                if name in BY_SENTENCE:
                    edges = _sentence_edges(text[offset : offset + CHUNK], piece.starts)
                    logit, first, last = self.heads[name].best_sentence(piece.features, edges)
                else:
                    logit, first, last = self.heads[name].best(piece.features)
                if logit > found[name].logit:
                    found[name] = Window(logit, offset + int(piece.starts[first]), offset + int(piece.ends[last]))
        return found


def evidence(explicit: float, grammar: float, discussed: int) -> float:
    """The logit and the grammar's score as one number without bounds, which the anchors are measured in."""
    odds = math.log((grammar + SOFT) / (1.0 - grammar + SOFT))
    return explicit + GRAMMAR_SHARE * odds - DISCOUNT * min(max(discussed - 1, 0), 3)


def _sentence_edges(text: str, starts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The numbers of the words between which sentences, lines and table cells stand."""
    return starts.searchsorted([0, *(m.end() for m in _SENTENCE_END.finditer(text)), len(text) + 1])


def _calibrated(raw: float, anchors: tuple[float, float, float]) -> float:
    """Straight lines between the anchors, exponential tails outside them; strictly rising in ``raw``."""
    strict, balanced, permissive = anchors
    if raw < strict:
        return STRICT * math.exp(max(raw - strict, -50.0))
    if raw < balanced:
        return STRICT + (BALANCED - STRICT) * (raw - strict) / (balanced - strict)
    if raw < permissive:
        return BALANCED + (PERMISSIVE - BALANCED) * (raw - balanced) / (permissive - balanced)
    return 1.0 - (1.0 - PERMISSIVE) * math.exp(permissive - raw)


@functools.lru_cache(maxsize=1)
def load() -> Model:
    """The model that comes with the package.

    Raises:
        ConfigError: the file is absent or not the one that was built.
    """
    try:
        data = (resources.files("agentguard.detect") / "model" / "injection.bin").read_bytes()
    except OSError as error:
        raise ConfigError("the injection model is not installed: agentguard/detect/model/injection.bin") from error
    return parse(data)


def parse(data: bytes) -> Model:
    """A model from its file's bytes.

    Raises:
        ConfigError: not a model, damaged, or made for other features.
    """
    start = len(MAGIC) + 32
    if not data.startswith(MAGIC) or hashlib.sha256(data[start:]).digest() != data[len(MAGIC) : start]:
        raise ConfigError("the injection model is damaged: its SHA-256 does not match")
    length = int.from_bytes(data[start : start + 4], "little")
    header = json.loads(data[start + 4 : start + 4 + length])
    if (header["features"], header["bits"]) != (VERSION, BITS):
        raise ConfigError("the injection model was made for other features; run make train")
    weights = np.frombuffer(zlib.decompress(data[start + 4 + length :]), np.int8)
    heads = {
        row["name"]: Head(weights[i * BUCKETS : (i + 1) * BUCKETS], row["scale"], row["bias"], row["span"])
        for i, row in enumerate(header["heads"])
    }
    anchors = {c: {h: (a[0], a[1], a[2]) for h, a in rows.items()} for c, rows in header["anchors"].items()}
    return Model(heads, anchors)


def serialize(model: Model) -> bytes:
    """The file's bytes; the same model gives the same bytes."""
    header: dict[str, Any] = {
        "features": VERSION,
        "bits": BITS,
        "heads": [
            {"name": name, "scale": head.scale, "bias": head.bias, "span": head.span}
            for name, head in model.heads.items()
        ],
        "anchors": {channel: dict(rows) for channel, rows in model.anchors.items()},
    }
    text = json.dumps(header, sort_keys=True).encode()
    weights = zlib.compress(b"".join(head.weights.tobytes() for head in model.heads.values()), 9)
    body = len(text).to_bytes(4, "little") + text + weights
    return MAGIC + hashlib.sha256(body).digest() + body
