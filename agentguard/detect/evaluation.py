"""How well the text engine does on labelled texts: recall, false alarms, and what redaction leaves behind.

Rows are JSON objects, one a line. A text row has ``text``, ``label`` (``attack`` or ``benign``) and, optionally,
``kind``, ``source``, ``lang``, ``tier`` and ``channel`` (``user``, ``tool``, ``agent``, ``retriever``; otherwise told
from the kind). A secret row has ``label`` ``positive`` or ``negative`` and ``spans``; a personal-data row has ``spans``
``[[start, end, TYPE], ...]`` and no label.

Recall at a false-positive rate puts the threshold where that share of the *given* honest rows lies at or above it.
Figures are those of unseen text only where the model and the rules never saw the rows.
"""

from __future__ import annotations

import base64
import codecs
import html
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from agentguard.detect.injection import THRESHOLDS, Channel, channel_of, inspect
from agentguard.detect.recognizers import pii, secrets
from agentguard.detect.redaction import redact
from agentguard.errors import ConfigError
from agentguard.text.invisible import dishonest_spans

__all__ = ["DISGUISES", "Table", "channel_in", "disguised", "evaluate", "injection_tables", "read_rows"]

TOOL_KINDS = {"indirect-injection", "tool-result", "benign-tool-result", "benign-document", "benign-code"}
RATES = (0.01, 0.001)
LABELS = {"attack", "benign", "positive", "negative"}
# Attack rows that are disguised when that is asked for: evenly spread, enough for a percent.
DISGUISED_ROWS = 150
# Shorter pieces of a value stand in any text by chance.
LEAK_LENGTH = 6

Row = Mapping[str, Any]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table; its text is Markdown."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]

    def __str__(self) -> str:
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {self.title}\n\n{body}\n"


def read_rows(paths: Iterable[Path]) -> Iterator[dict[str, Any]]:
    """The rows of the files.

    Raises:
        ConfigError: a file cannot be read, or a line is no labelled row; file and line are named.
    """
    for path in paths:
        try:
            with path.open(encoding="utf-8") as lines:
                for number, line in enumerate(lines, 1):
                    if line.strip():
                        yield _checked(line, f"{path}:{number}")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"{path}: cannot be read as UTF-8 text ({error})") from error


def _checked(line: str, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{place}: no JSON object ({error})") from error
    if not isinstance(row, dict) or not isinstance(row.get("text"), str):
        raise ConfigError(f"{place}: a row is an object with a text")
    if row.get("label", "positive") not in LABELS or not ("label" in row or "spans" in row):
        raise ConfigError(f"{place}: label must be one of {', '.join(sorted(LABELS))}; personal data has spans instead")
    if row.get("label") not in ("attack", "benign") and not _spans_fit(row.get("spans", []), row["text"]):
        raise ConfigError(f"{place}: spans are [start, end, type] within the text")
    return row


def _spans_fit(spans: object, text: str) -> bool:
    return isinstance(spans, list) and all(
        isinstance(s, list) and len(s) == 3 and isinstance(s[0], int) and isinstance(s[1], int)
        and 0 <= s[0] < s[1] <= len(text)
        for s in spans
    )  # fmt: skip


def channel_in(row: Row) -> Channel:
    """Who wrote the text: as the row says, else as its kind says."""
    if "channel" in row:
        return channel_of(str(row["channel"]))
    return "tool" if row.get("kind") in TOOL_KINDS else "user"


def evaluate(rows: Sequence[Row], *, disguises: bool = False, progress: Progress | None = None) -> list[Table]:
    """Every table the rows have data for."""
    texts = [row for row in rows if row.get("label") in ("attack", "benign")]
    scores = []
    for done, row in enumerate(texts, 1):
        scores.append(inspect(row["text"], channel_in(row)).score)
        if progress is not None:
            progress(done, len(rows))
    tables = injection_tables(texts, scores) if texts else []
    if disguises and texts:
        tables.append(disguised(texts))
    hidden = [row for row in rows if row.get("label") in ("positive", "negative")]
    personal = [row for row in rows if "label" not in row]
    if hidden:
        tables.append(_secrets(hidden))
    if personal:
        tables.append(_personal(personal))
    if progress is not None:
        progress(len(rows), len(rows))
    return tables


def injection_tables(rows: Sequence[Row], scores: Sequence[float]) -> list[Table]:
    """Recall and false alarms of given scores, by kind, source, language and channel."""
    honest = sorted(score for row, score in zip(rows, scores, strict=True) if row["label"] == "benign")
    limits = tuple(_limit(honest, rate) for rate in RATES)
    found: list[tuple[str, ...]] = []
    for name in ("tier", "kind", "source", "lang", "channel"):
        found += _recalls(name, rows, scores, limits)
    alarms: list[tuple[str, ...]] = [_alarm("all", honest)]
    for name in ("kind", "source", "lang", "channel"):
        groups = _grouped(name, "benign", rows, scores)
        alarms += [_alarm(f"{name}: {value}", group) for value, group in sorted(groups.items())]
    head = ("attacks by", "rows", *THRESHOLDS, *(f"at {rate:.1%} FPR" for rate in RATES))
    return [
        Table("Injection: share of attacks found", head, tuple(found)),
        Table("Injection: share of honest texts flagged", ("honest texts by", "rows", *THRESHOLDS), tuple(alarms)),
    ]


def _limit(honest: list[float], rate: float) -> float:
    """The lowest score that at most ``rate`` of the honest scores exceed."""
    return honest[max(0, math.ceil(len(honest) * (1.0 - rate)) - 1)] if honest else 0.0


def _recalls(
    name: str, rows: Sequence[Row], scores: Sequence[float], limits: tuple[float, ...]
) -> Iterator[tuple[str, ...]]:
    for value, group in sorted(_grouped(name, "attack", rows, scores).items()):
        named = (_share(sum(s >= t for s in group), len(group)) for t in THRESHOLDS.values())
        rated = (_share(sum(s > limit for s in group), len(group)) for limit in limits)
        yield (f"{name}: {value}", str(len(group)), *named, *rated)


def _alarm(name: str, scores: list[float]) -> tuple[str, ...]:
    shares = (_share(sum(s >= t for s in scores), len(scores)) for t in THRESHOLDS.values())
    return (name, str(len(scores)), *shares)


def _grouped(name: str, label: str, rows: Sequence[Row], scores: Sequence[float]) -> dict[str, list[float]]:
    groups: dict[str, list[float]] = defaultdict(list)
    for row, score in zip(rows, scores, strict=True):
        if row["label"] != label:
            continue
        value = channel_in(row) if name == "channel" else row.get(name)
        if value is None:
            continue
        # Planted plain requests are a question of their own: the other columns are about explicit attacks.
        if name != "tier" and row.get("tier") == "context":
            value = f"{value} (context)"
        groups[str(value)].append(score)
    return groups


def _secrets(rows: Sequence[Row]) -> Table:
    counts: dict[str, int] = defaultdict(int)
    for row in rows:
        found = secrets().scan(row["text"])
        counts[row["label"]] += 1
        counts[f"{row['label']} found"] += bool(found)
        left = redact(row["text"], frozenset({"secret"})) if row.get("spans") else ""
        for start, end, _ in row.get("spans", []):
            counts["spans"] += 1
            counts["located"] += any(m.start <= start and m.end >= end for m in found)
            counts["leaked"] += _leaks(row["text"][start:end], left)
    return Table(
        "Secrets",
        ("what", "rows", "of", "share"),
        (
            _counted("noticed", counts["positive found"], counts["positive"]),
            _counted("values covered whole", counts["located"], counts["spans"]),
            _counted("look-alikes flagged", counts["negative found"], counts["negative"]),
            _counted("values that leak after redaction", counts["leaked"], counts["spans"]),
        ),
    )


def _personal(rows: Sequence[Row]) -> Table:
    located: dict[str, list[bool]] = defaultdict(list)
    leaked: dict[str, int] = defaultdict(int)
    for row in rows:
        found = pii().scan(row["text"])
        left = redact(row["text"], frozenset({"pii"}))
        for start, end, kind in row["spans"]:
            located[kind].append(any(m.start <= start and m.end >= end for m in found))
            leaked[kind] += _leaks(row["text"][start:end], left)
    rows_out = [
        (kind, str(len(hits)), _share(sum(hits), len(hits)), _share(leaked[kind], len(hits)))
        for kind, hits in sorted(located.items())
    ]
    return Table("Personal data", ("type", "values", "located", "leak after redaction"), tuple(rows_out))


def _leaks(value: str, left: str) -> bool:
    """Whether a piece of the value that is no accident still stands in the redacted text."""
    size = min(len(value), max(LEAK_LENGTH, len(value) // 2))
    return any(value[i : i + size] in left for i in range(max(1, len(value) - size + 1)))


def _counted(what: str, found: int, of: int) -> tuple[str, ...]:
    return (what, str(found), str(of), _share(found, of))


def _share(found: int, of: int) -> str:
    return f"{found / of:.1%}" if of else "-"


_LEET = str.maketrans("aeios", "43105")
_LOOK_ALIKE = str.maketrans("aeopcxyi", "аеорсхуі")

# Ways to write a text that a model still reads and a plain search does not.
DISGUISES: dict[str, Callable[[str], str]] = {
    "zero-width between letters": "\u200b".join,
    "soft hyphens": "\u00ad".join,
    "tag characters": lambda t: "Hello. " + "".join(chr(0xE0000 + ord(c)) for c in t if 32 <= ord(c) < 127),
    "variation selectors": lambda t: "Hello " + "".join(
        chr(0xFE00 + b if b < 16 else 0xE0100 + b - 16) for b in t.encode()
    ),
    "look-alike letters": lambda t: t.translate(_LOOK_ALIKE),
    "full width": lambda t: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in t),
    "base64": lambda t: base64.b64encode(t.encode()).decode(),
    "base32": lambda t: base64.b32encode(t.encode()).decode(),
    "base85": lambda t: base64.b85encode(t.encode()).decode(),
    "hex": lambda t: t.encode().hex(),
    "URL": lambda t: quote(t, safe=""),
    "HTML entities": lambda t: "".join(f"&#{ord(c)};" for c in html.escape(t)),
    "ROT13": lambda t: codecs.encode(t, "rot13"),
    "reversed": lambda t: t[::-1],
    "leet": lambda t: t.translate(_LEET),
    "spaced": lambda t: "  ".join(" ".join(word) for word in t.split()),
}  # fmt: skip
INVISIBLE = ("zero-width between letters", "soft hyphens", "tag characters", "variation selectors")


def disguised(rows: Sequence[Row]) -> Table:
    """A sample of the explicit attacks, disguised: found at the balanced threshold, or noticed as invisible text."""
    attacks = [row for row in rows if row["label"] == "attack" and row.get("tier", "explicit") == "explicit"]
    sample = attacks[:: max(1, len(attacks) // DISGUISED_ROWS)]
    balanced = THRESHOLDS["balanced"]
    plain = [inspect(row["text"], channel_in(row)).score >= balanced for row in sample]
    lines = [("as it is", _share(sum(plain), len(sample)), "-")]
    for name, disguise in DISGUISES.items():
        texts = [(disguise(row["text"]), channel_in(row)) for row in sample]
        hits = [inspect(text, channel).score >= balanced for text, channel in texts]
        seen = [hit or bool(dishonest_spans(text)) for hit, (text, _) in zip(hits, texts, strict=True)]
        either = _share(sum(seen), len(sample)) if name in INVISIBLE else "-"
        lines.append((name, _share(sum(hits), len(sample)), either))
    return Table(
        f"Injection: {len(sample)} attacks in disguise",
        ("written as", "found", "found or invisible text seen"),
        tuple(lines),
    )
