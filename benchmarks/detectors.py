"""AgentGuard next to LangChain's PII detectors, Presidio's pattern recognizers and LLM Guard's secret scanner.

Same texts, same run: ``make bench-detectors``. A value counts as left behind when six of its characters in a row (or
the whole of a shorter one) still stand in the redacted text. The first table's texts are our own recognizers' examples,
so they favour us; with ``CORPORA`` set, the second one's are third-party texts.

No model is downloaded: Presidio's recognizers run without its NLP engine, as patterns and checksums alone. LLM Guard's
package imports torch for other scanners when it is imported; the module of its secret scanner is loaded without them.
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from agentguard.detect.recognizers import pii, scan, secrets
from agentguard.detect.redaction import redact, remove
from benchmarks.report import Row, Table

__all__ = ["main"]

ROUNDS = 3
LEFT = 6
# Honest rows of the corpora that are read: the slowest scanner takes seconds for a thousand.
BENIGN_ROWS = 400
PROSE = "The quick brown fox jumps over the lazy dog near the river, then rests for 12 minutes at 9:30. "
# Types of the corpora that a pattern can find; names and places need a model.
CORE = frozenset({"EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "US_SSN", "IP_ADDRESS"})

Redact = Callable[[str], str]


@dataclass(frozen=True)
class Detector:
    """One system: what it calls itself, the classes it looks for, and its redaction."""

    name: str
    classes: frozenset[str]
    redact: Redact


@dataclass(frozen=True)
class Sample:
    """One text and the values in it, by class."""

    text: str
    values: tuple[tuple[str, str], ...]


def main() -> None:
    """Print the tables; a system that is not installed is named and left out."""
    detectors = list(_detectors())
    print(_speed(detectors), flush=True)
    print(_found("Our own recognizers' examples", detectors, list(_own())), flush=True)
    folder = os.environ.get("CORPORA")
    if not folder:
        print("Third-party texts: not measured, set CORPORA to the corpora folder.", file=sys.stderr)
        return
    print(_found("Third-party secrets and personal data", detectors, list(_corpora(Path(folder)))))
    print(_false_alarms(detectors, Path(folder)))


# -- tables ------------------------------------------------------------------------------------------------------------


def _speed(detectors: list[Detector]) -> Table:
    texts = {
        "1 KB of prose": (PROSE * 11)[:1024],
        "1 KB with a key and an address": (PROSE * 10)[:930] + " jane@example.com " + _own_secret(),
        "64 KB of prose": (PROSE * 700)[:65536],
    }
    rows = [
        Row(detector.name, *(f"{_per_kb(detector.redact, text):.0f} us" for text in texts.values()))
        for detector in detectors
    ]
    return Table("Time per KB, redaction included", ("system", *texts), tuple(rows))


def _per_kb(redact_: Redact, text: str) -> float:
    redact_(text)
    best = float("inf")
    repeats = max(1, 16_384 // len(text))
    for _ in range(ROUNDS):
        start = time.process_time()
        for _ in range(repeats):
            redact_(text)
        best = min(best, (time.process_time() - start) / repeats)
    return best * 1e6 / (len(text) / 1024)


def _found(title: str, detectors: list[Detector], samples: list[Sample]) -> Table:
    classes = ("secret", "pii")
    rows = []
    for detector in detectors:
        gone = dict.fromkeys(classes, 0)
        total = dict.fromkeys(classes, 0)
        for sample in samples:
            if not detector.classes.isdisjoint(kind for kind, _ in sample.values):
                out = detector.redact(sample.text)
                for kind, value in sample.values:
                    if kind not in detector.classes:
                        continue
                    total[kind] += 1
                    gone[kind] += not _left(value, out)
        cells = [f"{gone[k]} of {total[k]} ({gone[k] / total[k]:.1%})" if total[k] else "-" for k in classes]
        rows.append(Row(detector.name, *cells))
    return Table(f"{title}: values of which nothing is left", ("system", *classes), tuple(rows))


def _false_alarms(detectors: list[Detector], folder: Path) -> Table:
    negatives = [row["text"] for row in _rows(folder / "secrets.jsonl") if row.get("label") == "negative"]
    benign = [row["text"] for row in islice(_rows(folder / "benign.jsonl"), 0, None, 20)][:BENIGN_ROWS]
    rows = []
    for detector in detectors:
        cells = []
        for texts in (negatives, benign):
            changed = sum(detector.redact(text) != text for text in texts)
            cells.append(f"{changed} of {len(texts)} ({changed / len(texts):.1%})")
        rows.append(Row(detector.name, *cells))
    head = ("system", "look-alikes of secrets changed", "honest texts changed (contacts in them included)")
    return Table("Third-party texts without secrets", head, tuple(rows))


def _left(value: str, out: str) -> bool:
    size = min(LEFT, len(value))
    return any(value[at : at + size] in out for at in range(len(value) - size + 1))


# -- texts -------------------------------------------------------------------------------------------------------------


def _own() -> Iterator[Sample]:
    for kind, recognizers in (("secret", secrets().recognizers), ("pii", pii().recognizers)):
        for recognizer in recognizers:
            for example in recognizer.examples():
                text = f"see {example} there"
                values = tuple((kind, text[m.start : m.end]) for m in scan(text) if m.type.startswith(kind))
                yield Sample(text, values)


def _own_secret() -> str:
    return next(r.examples()[0] for r in secrets().recognizers if r.rule.startswith("github"))


def _corpora(folder: Path) -> Iterator[Sample]:
    for row in _rows(folder / "secrets.jsonl"):
        if row.get("label") == "positive" and row["spans"]:
            yield Sample(row["text"], tuple(("secret", row["text"][span[0] : span[1]]) for span in row["spans"]))
    for row in _rows(folder / "pii.jsonl"):
        spans = [span for span in row["spans"] if span[2] in CORE]
        if spans:
            yield Sample(row["text"], tuple(("pii", row["text"][span[0] : span[1]]) for span in spans))


def _rows(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            yield json.loads(line)


# -- systems -----------------------------------------------------------------------------------------------------------


def _detectors() -> Iterator[Detector]:
    both = frozenset({"secret", "pii"})
    yield Detector("AgentGuard", both, lambda text: redact(text, both, operator=remove))
    for make in (_langchain, _presidio, _llm_guard):
        try:
            yield make()
        except ImportError as error:
            print(f"{make.__name__.strip('_')}: not measured, {error}", file=sys.stderr)


def _langchain() -> Detector:
    from langchain.agents.middleware._redaction import BUILTIN_DETECTORS, apply_strategy

    def redacted(text: str) -> str:
        for detect in BUILTIN_DETECTORS.values():
            if matches := detect(text):
                text = apply_strategy(text, matches, "redact")
        return text

    return Detector("LangChain PIIMiddleware, 5 detectors", frozenset({"pii"}), redacted)


def _presidio() -> Detector:
    from presidio_analyzer import PatternRecognizer, predefined_recognizers

    found = [getattr(predefined_recognizers, name) for name in dir(predefined_recognizers)]
    kinds = [each for each in found if isinstance(each, type) and issubclass(each, PatternRecognizer)]
    recognizers = [each() for each in kinds]

    def redacted(text: str) -> str:
        spans = sorted(
            (hit.start, hit.end)
            for recognizer in recognizers
            for hit in recognizer.analyze(text, recognizer.supported_entities)
            if hit.score >= 0.4
        )
        for start, end in reversed(spans):
            text = f"{text[:start]}<PII>{text[end:]}"
        return text

    return Detector(f"Presidio, {len(recognizers)} pattern recognizers, score 0.4", frozenset({"pii"}), redacted)


def _llm_guard() -> Detector:
    _without_other_scanners()
    from llm_guard.input_scanners.secrets import Secrets

    scanner = Secrets(redact_mode="all")
    return Detector("LLM Guard secret scanner", frozenset({"secret"}), lambda text: str(scanner.scan(text)[0]))


def _without_other_scanners() -> None:
    """Packages in the place of LLM Guard's own, whose import would load every other scanner and its models' library."""
    import structlog

    # It would print a line for each text among the tables.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    spec = importlib.util.find_spec("llm_guard")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("llm-guard is not installed")
    root = next(iter(spec.submodule_search_locations))
    for name, folder in (("llm_guard", root), ("llm_guard.input_scanners", f"{root}/input_scanners")):
        package = types.ModuleType(name)
        package.__path__ = [folder]
        sys.modules[name] = package


if __name__ == "__main__":
    main()
