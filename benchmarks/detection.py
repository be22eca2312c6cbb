"""Recall and false-positive rate of the text engine on the development corpora, per source and kind.

Run with CORPORA naming the folder that holds ``attacks.jsonl``, ``benign.jsonl``, ``secrets.jsonl`` and ``pii.jsonl``.
Attack rows of tool channels are scored as tool text, the others as the user's own. Nothing is trained here; the rules
were tuned with these corpora in sight, so the figures are not those of unseen text.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentguard.detect.injection import THRESHOLDS, Channel, inspect
from agentguard.detect.recognizers import pii, secrets
from agentguard.detect.redaction import replace
from benchmarks.report import Row, Table

LEVELS = tuple(THRESHOLDS.values())

TOOL_KINDS = {"indirect-injection", "tool-result", "benign-tool-result", "benign-document", "benign-code"}
# Positives of the corpus that stand for a secret without being one.
_PLACEHOLDER = re.compile(r"(?i)x{6,}|z{10,}|example|value with quotes|\{secret\}")
PII_TYPES = {
    "EMAIL_ADDRESS": "pii.email",
    "PHONE_NUMBER": "pii.phone",
    "CREDIT_CARD": "pii.card",
    "IBAN_CODE": "pii.iban",
    "US_SSN": "pii.us-ssn",
    "IP_ADDRESS": "pii.ip",
}


def main() -> None:
    """Print every table, or that there were no corpora to read."""
    folder = os.environ.get("CORPORA")
    if not folder:
        print("Detection figures: not measured, set CORPORA to the corpora folder.", file=sys.stderr)
        return
    corpora = Path(folder)
    for name in ("attacks", "benign"):
        print(injection(corpora, name))
    print(secret_formats(corpora))
    print(personal_data(corpora))


def injection(corpora: Path, name: str) -> Table:
    """Share of rows at or above each threshold, per kind and, for attacks, per source."""
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    for row in rows(corpora / f"{name}.jsonl"):
        channel: Channel = "tool" if row["kind"] in TOOL_KINDS else "user"
        score = inspect(row["text"], channel).score
        kind = f"{row['kind']}, {row['tier']}" if "tier" in row else row["kind"]
        scores[kind, "all"].append(score)
        if name == "attacks":
            scores[kind, row["source"]].append(score)
    found = tuple(
        Row(kind, source, str(len(values)), *(_share(sum(v >= t for v in values), len(values)) for t in LEVELS))
        for (kind, source), values in sorted(scores.items())
    )
    return Table(f"Injection: share of {name} flagged", ("kind", "source", "rows", *THRESHOLDS), found)


def secret_formats(corpora: Path) -> Table:
    """Positives found, values covered whole or left readable, look-alikes and benign texts flagged.

    Some positives of the corpus are placeholders, which are not taken for secrets; the rows without them stand apart.
    A label's own quotes are not part of a value.
    """
    counts: dict[str, int] = defaultdict(int)
    for row in rows(corpora / "secrets.jsonl"):
        found = secrets().scan(row["text"])
        counts[row["label"]] += 1
        counts[f"{row['label']} found"] += bool(found)
        redacted = replace(row["text"], found)
        real = row["label"] == "positive" and not _PLACEHOLDER.search(row["text"])
        counts["real"] += real
        counts["real found"] += real and bool(found)
        for start, end, _ in row["spans"]:
            value = row["text"][start:end].strip("\"'")
            first = row["text"].index(value, start)
            counts["spans"] += 1
            counts["spans covered"] += any(m.start <= first and m.end >= first + len(value) for m in found)
            counts["spans leaked"] += value in redacted
            counts["real spans"] += real
            counts["real spans leaked"] += real and value in redacted
    for row in rows(corpora / "benign.jsonl"):
        counts["benign"] += 1
        counts["benign found"] += bool(secrets().scan(row["text"]))
    return Table(
        "Secrets",
        ("what", "found", "of", "share"),
        (
            _counted("secrets noticed", counts["positive found"], counts["positive"]),
            _counted("secrets noticed, without placeholders", counts["real found"], counts["real"]),
            _counted("values covered whole", counts["spans covered"], counts["spans"]),
            _counted("values readable after redaction", counts["spans leaked"], counts["spans"]),
            _counted("values readable, without placeholders", counts["real spans leaked"], counts["real spans"]),
            _counted("look-alikes flagged", counts["negative found"], counts["negative"]),
            _counted("benign texts flagged", counts["benign found"], counts["benign"]),
        ),
    )


def personal_data(corpora: Path) -> Table:
    """Spans covered whole per type, spans readable after redaction, and findings that touch no labelled span."""
    covered: dict[str, list[bool]] = defaultdict(list)
    outside = total = leaked = 0
    for row in rows(corpora / "pii.jsonl"):
        found = pii().scan(row["text"])
        redacted = replace(row["text"], found)
        for start, end, kind in row["spans"]:
            if kind in PII_TYPES:
                leaked += row["text"][start:end] in redacted
                covered[kind].append(any(m.start <= start and m.end >= end for m in found))
        total += len(found)
        outside += sum(not any(s < m.end and m.start < e for s, e, _ in row["spans"]) for m in found)
    return Table(
        "Personal data",
        ("what", "found", "of", "share"),
        (
            *(_counted(kind, sum(hits), len(hits)) for kind, hits in sorted(covered.items())),
            _counted("values readable after redaction", leaked, sum(map(len, covered.values()))),
            _counted("findings outside any label", outside, total),
        ),
    )


def _counted(what: str, found: int, of: int) -> Row:
    return Row(what, str(found), str(of), _share(found, of))


def _share(found: int, of: int) -> str:
    return f"{found / of:.1%}" if of else "-"


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one corpus file."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    main()
