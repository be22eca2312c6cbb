"""Recall and false-positive rate of the text engine on the development corpora, per source and kind.

Run with CORPORA naming the folder that holds ``attacks.jsonl``, ``benign.jsonl``, ``secrets.jsonl`` and ``pii.jsonl``.
Attack rows of tool channels are scored as tool text, the others as the user's own. Nothing is trained here; the rules
were tuned with these corpora in sight, so the figures are not those of unseen text.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from agentguard.detect.injection import THRESHOLDS, Channel, inspect
from agentguard.detect.recognizers import pii, secrets

TOOL_KINDS = {"indirect-injection", "tool-result", "benign-tool-result", "benign-document", "benign-code"}
PII_TYPES = {
    "EMAIL_ADDRESS": "pii.email",
    "PHONE_NUMBER": "pii.phone",
    "CREDIT_CARD": "pii.card",
    "IBAN_CODE": "pii.iban",
    "US_SSN": "pii.us-ssn",
    "IP_ADDRESS": "pii.ip",
}


def main() -> int:
    """Print every table; 0 when it ran, 3 when there were no corpora to read."""
    folder = os.environ.get("CORPORA")
    if not folder:
        print("detection benchmark did not run: set CORPORA to the corpora folder")
        return 3
    corpora = Path(folder)
    injection(corpora)
    secret_formats(corpora)
    personal_data(corpora)
    speed()
    return 0


def injection(corpora: Path) -> None:
    """Share of rows at or above each threshold, per source."""
    for name in ("attacks", "benign"):
        table: dict[str, list[float]] = defaultdict(list)
        for row in rows(corpora / f"{name}.jsonl"):
            channel: Channel = "tool" if row["kind"] in TOOL_KINDS else "user"
            score = inspect(row["text"], channel).score
            for key in (
                f"{row['kind']:24} {row.get('tier', ''):8} {row['source']}",
                f"* {row['kind']} {row.get('tier', '')}",
                "* all",
            ):
                table[key].append(score)
        print(f"\n{name}: rows, share flagged at {', '.join(f'{k} {v}' for k, v in THRESHOLDS.items())}")
        for key, scores in sorted(table.items()):
            shares = "  ".join(f"{sum(s >= t for s in scores) / len(scores):6.1%}" for t in THRESHOLDS.values())
            print(f"{len(scores):6}  {shares}  {key}")


def secret_formats(corpora: Path) -> None:
    """Positives found, values covered whole, look-alikes and benign texts flagged."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows(corpora / "secrets.jsonl"):
        found = secrets().scan(row["text"])
        counts[row["label"]] += 1
        counts[f"{row['label']} found"] += bool(found)
        for start, end, _ in row["spans"]:
            counts["spans"] += 1
            counts["spans covered"] += any(m.start <= start and m.end >= end for m in found)
    for row in rows(corpora / "benign.jsonl"):
        counts["benign"] += 1
        counts["benign found"] += bool(secrets().scan(row["text"]))
    print(f"\nsecrets: {dict(counts)}")


def personal_data(corpora: Path) -> None:
    """Spans covered per type, and findings that touch no labelled span."""
    counts: dict[str, int] = defaultdict(int)
    for row in rows(corpora / "pii.jsonl"):
        found = pii().scan(row["text"])
        for start, end, kind in row["spans"]:
            if kind in PII_TYPES:
                counts[kind] += 1
                counts[f"{kind} covered"] += any(m.start <= start and m.end >= end for m in found)
        for m in found:
            counts["outside any span"] += not any(s < m.end and m.start < e for s, e, _ in row["spans"])
    print(f"\npersonal data: {dict(counts)}")


def speed() -> None:
    """Microseconds per KB of plain prose."""
    text = ("The quarterly report is ready; please review the figures before Monday. " * 15)[:1024]
    for name, check in (("injection", inspect), ("secrets", secrets().scan), ("pii", pii().scan)):
        check(text)
        started = time.perf_counter()
        for _ in range(300):
            check(text)
        print(f"{name}: {(time.perf_counter() - started) / 300 * 1e6:.1f} us per KB of clean prose")


def rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of one corpus file."""
    with path.open(encoding="utf-8") as lines:
        yield from map(json.loads, lines)


if __name__ == "__main__":
    sys.exit(main())
