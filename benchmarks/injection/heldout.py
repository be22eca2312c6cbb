"""Train without a source family, judge that family: the only figures that say what unseen text will see.

``CORPORA=folder python -m benchmarks.injection.heldout`` (``make eval-heldout``) prints the tables. The families stand
in five groups; a group's rows are scored by a model that saw none of its families, with thresholds taken from the
honest rows of the *other* groups, each scored without its own group too. No row of a group takes part in training the
model that judges it or in placing the thresholds that judge it. ``--ship`` (``make train``) also trains on all rows
and writes the model of the package, whose thresholds come from the same left-out scores of all groups.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import agentguard
from agentguard.detect.evaluation import Table, injection_tables
from agentguard.detect.injection import discussed, grammar_score
from agentguard.detect.model import BALANCED, Head, Model, evidence, serialize
from agentguard.text.views import read
from benchmarks.injection.examples import TOOL_KINDS, Example, corpus, examples, family
from benchmarks.injection.train import SPANS, Windows, fit_head, folded, windows_of

__all__ = ["GROUPS", "anchors_of", "channel", "group_of", "held_out", "left_out_logits", "main", "prepared", "tables"]

GROUPS = 5
MODEL = Path(agentguard.__file__).parent / "detect" / "model" / "injection.bin"
# The small attack families stand together in the last group; honest-only families go round.
_ATTACK_GROUPS = {"BIPIA": 0, "deepset/prompt-injections": 1, "spikee": 2, "in-the-wild": 3}
_SMALL = 4
# Share of honest texts at or over strict, balanced and permissive, per channel and head.
TARGETS = {
    ("user", "explicit"): (0.010, 0.0015, 0.0003),
    ("tool", "explicit"): (0.010, 0.002, 0.0003),
    ("tool", "request"): (0.010, 0.003, 0.0005),
}
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything the folds share: the examples with their windows, the rows with readings and grammar scores."""

    rows: list[dict[str, Any]]
    examples: list[Example]
    windows: dict[str, Windows]
    readings: list[tuple[str, ...]]
    grammar: Floats
    discussed: list[int]
    group: NDArray[np.int64]
    example_group: NDArray[np.int64]


def channel(row: dict[str, Any]) -> str:
    """Who wrote the text, as far as its kind says."""
    return "tool" if row["kind"] in TOOL_KINDS else "user"


def group_of(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    """The group of every family."""
    attack: set[str] = set()
    honest: set[str] = set()
    for row in rows:
        (attack if row["label"] == "attack" else honest).add(family(row["source"]))
    groups = {name: _ATTACK_GROUPS.get(name, _SMALL) for name in attack}
    groups.update({name: index % GROUPS for index, name in enumerate(sorted(honest - attack))})
    return groups


def prepared(folder: Path) -> Prepared:
    """Read the corpora and make what every fold needs."""
    rows = list(corpus(folder))
    made = examples(rows)
    texts = [folded(example.text) for example in made]
    groups = group_of(rows)
    return Prepared(
        rows,
        made,
        {name: windows_of(texts, span) for name, span in SPANS.items()},
        [tuple(view.text for view in read(row["text"])) for row in rows],
        np.array([grammar_score(row["text"], channel(row)) for row in rows]),
        [discussed(row["text"]) for row in rows],
        np.array([groups[family(row["source"])] for row in rows]),
        np.array([groups.get(example.family, -1) for example in made]),
    )


def heads_without(data: Prepared, left_out: tuple[int, ...]) -> dict[str, Head]:
    """Both heads, trained without the groups."""
    use = ~np.isin(data.example_group, left_out)
    return {name: fit_head(data.examples, data.windows[name], use, name) for name in SPANS}


def logits(heads: dict[str, Head], readings: list[tuple[str, ...]]) -> Floats:
    """Highest logit per row (first axis) and head, over all readings of the row."""
    model = Model(heads, {})
    names = tuple(SPANS)
    found = np.full((len(readings), len(names)), -50.0)
    for index, texts in enumerate(readings):
        for text in texts:
            windows = model.windows(text, names)
            found[index] = np.maximum(found[index], [max(-50.0, windows[name].logit) for name in names])
    return found


def anchors_of(
    data: Prepared, found: Floats, use: NDArray[np.bool_]
) -> dict[str, dict[str, tuple[float, float, float]]]:
    """The raw scores that ``TARGETS``' shares of the honest rows reach."""
    honest = np.array([row["label"] == "benign" for row in data.rows]) & use
    where = np.array([channel(row) for row in data.rows])
    parts = zip(found[:, 0], data.grammar, data.discussed, strict=True)
    raw = {"explicit": np.array([evidence(*part) for part in parts]), "request": found[:, 1]}
    anchors: dict[str, dict[str, tuple[float, float, float]]] = {}
    for (name, head), shares in TARGETS.items():
        values = raw[head][honest & (where == name)]
        low, middle, high = (float(np.quantile(values, 1.0 - share)) for share in shares)
        middle = max(middle, low + 1e-3)
        high = max(high, middle + 1e-3)
        anchors.setdefault(name, {})[head] = (round(low, 6), round(middle, 6), round(high, 6))
    return anchors


_DATA: list[Prepared] = []


def _fold(left_out: int) -> tuple[int, dict[str, Head], Floats]:
    data = _DATA[0]
    heads = heads_without(data, (left_out,))
    print(f"trained without group {left_out} of {GROUPS}", file=sys.stderr, flush=True)
    chosen = np.flatnonzero(data.group == left_out)
    return left_out, heads, logits(heads, [data.readings[i] for i in chosen])


def left_out_logits(data: Prepared) -> tuple[Floats, dict[int, dict[str, Head]]]:
    """Logits of every row by the model without its group, and those models. Processes share the work, not results."""
    _DATA[:] = [data]
    found = np.zeros((len(data.rows), len(SPANS)))
    heads: dict[int, dict[str, Head]] = {}
    with multiprocessing.get_context("fork").Pool(min(GROUPS, os.cpu_count() or 1)) as pool:
        for group, trained, values in pool.imap_unordered(_fold, range(GROUPS)):
            found[data.group == group] = values
            heads[group] = trained
    return found, heads


def held_out(data: Prepared, found: Floats) -> Floats:
    """Scores of all rows, each by a model and thresholds that know nothing of its group."""
    scores = np.zeros(len(data.rows))
    for group in range(GROUPS):
        model = Model({}, anchors_of(data, found, data.group != group))
        for index in np.flatnonzero(data.group == group):
            explicit, request = found[index]
            about = data.discussed[index]
            scores[index] = model.score(
                channel(data.rows[index]), data.grammar[index], explicit, request, discussed=about
            )
    return scores


def main() -> None:
    """Print the tables, or that there were no corpora to read."""
    folder = os.environ.get("CORPORA")
    if not folder:
        print("Held-out figures: not measured, set CORPORA to the corpora folder.", file=sys.stderr)
        return
    data = prepared(Path(folder))
    found, _ = left_out_logits(data)
    for table in tables(data.rows, list(held_out(data, found))):
        print(table)
    if "--ship" in sys.argv[1:]:
        anchors = anchors_of(data, found, data.group >= 0)
        MODEL.write_bytes(serialize(Model(heads_without(data, ()), anchors)))
        print(f"wrote {MODEL.name}", file=sys.stderr)


def tables(rows: list[dict[str, Any]], scores: list[float]) -> list[Table]:
    """The tables of ``agentguard eval``, with one more: by family, wrappers counted once."""
    explicit = [i for i, row in enumerate(rows) if row.get("tier") == "explicit"]
    families: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for index in explicit:
        row = rows[index]
        # spikee wraps few seeds in few wrappers: a wrapper counts once, however many rows it has.
        unit = str(row.get("variant")) if family(row["source"]) == "spikee" else str(row["id"])
        families[family(row["source"])][unit].append(scores[index] >= BALANCED)
    lines = []
    for name, units in sorted(families.items()):
        found = [hit for hits in units.values() for hit in hits]
        by_unit = sum(sum(hits) / len(hits) for hits in units.values()) / len(units)
        lines.append((name, str(len(found)), str(len(units)), f"{sum(found) / len(found):.1%}", f"{by_unit:.1%}"))
    means = [float(line[4].rstrip("%")) for line in lines]
    lines.append(("mean over families", "", "", "", f"{sum(means) / len(means):.1f}%"))
    head = ("family left out", "rows", "wrappers or rows", "found", "wrappers counted once")
    return [
        Table("Explicit attacks found at balanced, family left out", head, tuple(lines)),
        *injection_tables(rows, scores),
    ]


if __name__ == "__main__":
    main()
