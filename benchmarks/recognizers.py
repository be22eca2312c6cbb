"""Crafted worst cases for every recognizer, made from its own pattern: is the cost linear, and how high at 1 MB?

For each repetition in a pattern the text up to it is followed by the repeated part and never by what must come next;
beside that the shortest match, and all but its end, stand in rows. Every text is scanned at growing lengths; the slope
of time over length on a log-log plot is 1 for linear cost. Run ``python -m benchmarks.recognizers [RULE ...]``.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Iterable, Iterator
from re import _constants as ops  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

from agentguard.detect.recognizers import Recognizer, RecognizerSet, pii, secrets
from benchmarks.report import Row, Table

SIZES = (131_072, 1_048_576)
# Below this a slope measures the clock.
FLOOR_S = 0.002
WORST = 20
ROUNDS = 1


def main() -> None:
    """Print the worst rows, and how many recognizers keep both goals."""
    wanted = set(sys.argv[1:])
    chosen = [r for r in (*secrets().recognizers, *pii().recognizers) if not wanted or r.rule in wanted]
    print(measure(chosen))


def measure(recognizers: Iterable[Recognizer]) -> Table:
    """One row for each of the slowest recognizers, and a summary."""
    rows = sorted((_worst(r) for r in recognizers), key=lambda row: -row[1])
    steep = sum(slope > 1.15 for _, _, slope, _ in rows)
    slow = sum(seconds > 0.1 for _, seconds, _, _ in rows)
    summary = Row(f"all {len(rows)}: {steep} above slope 1.15, {slow} above 100 ms", "", "", "")
    shown = (Row(rule, f"{s * 1000:.1f} ms", f"{slope:.2f}", repr(unit[:40])) for rule, s, slope, unit in rows[:WORST])
    return Table("Crafted texts of 1 MB against each recognizer", ("rule", "time", "slope", "text"), (*shown, summary))


def _worst(recognizer: Recognizer) -> tuple[str, float, float, str]:
    alone = RecognizerSet([recognizer])
    worst = (0.0, 0.0, "")
    for lead, unit in dict.fromkeys(crafted(recognizer)):
        times = [_seconds(alone, (lead + unit * (size // len(unit) + 1))[:size]) for size in SIZES]
        slope = math.log(times[-1] / times[0]) / math.log(SIZES[-1] / SIZES[0]) if times[-1] > FLOOR_S else 1.0
        worst = max(worst, (times[-1], slope, f"{lead}|{unit}"))
    return (recognizer.rule, *worst)


def _seconds(alone: RecognizerSet, text: str) -> float:
    def once() -> float:
        start = time.process_time()
        alone.scan(text)
        return time.process_time() - start

    return max(1e-6, min(once() for _ in range(ROUNDS)))


def crafted(recognizer: Recognizer) -> Iterator[tuple[str, str]]:
    """Pairs of a text to begin with and one to repeat."""
    readable = recognizer.pattern.replace(r"\pL", "a-zé").replace(r"\pN", "0-9").replace("[[", r"[\[")
    tree = parser.parse(re.sub(r"(?<!^)\(\?[im]+\)", "", readable))
    shortest = _text(tree)
    for text in (shortest, *recognizer.examples()[:1]):
        yield "", text + " "
        yield "", text
        yield "", text + "\n"
        yield "", text[:-1] or "a"
        yield "", text[: len(text) // 2 + 1]
    for lead, unit in _pumps(tree, ""):
        if unit:
            yield lead, unit
            yield "", lead + unit * 30
            yield "", (lead + unit) or "a"


def _pumps(tree: Any, lead: str) -> Iterator[tuple[str, str]]:
    for op, arg in tree:
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            low, high, inner = arg
            if high == ops.MAXREPEAT or high >= 20:
                yield lead, _text(inner)
            yield from _pumps(inner, lead)
            lead += _text(inner) * low
        elif op is ops.SUBPATTERN:
            yield from _pumps(arg[3], lead)
            lead += _text(arg[3])
        elif op is ops.BRANCH:
            for branch in arg[1]:
                yield from _pumps(branch, lead)
            lead += _text(arg[1][0])
        else:
            lead += _text([(op, arg)])


def _text(tree: Any) -> str:
    """The shortest text a parsed pattern matches, taking the first choice everywhere."""
    text = ""
    for op, arg in tree:
        if op in (ops.MAX_REPEAT, ops.MIN_REPEAT):
            text += _text(arg[2]) * arg[0]
        elif op is ops.SUBPATTERN:
            text += _text(arg[3])
        elif op is ops.BRANCH:
            text += _text(arg[1][0])
        elif op is ops.LITERAL:
            text += chr(arg)
        elif op is ops.IN:
            text += _member(arg)
        elif op in (ops.ANY, ops.NOT_LITERAL):
            text += "a"
    return text


def _member(choices: Any) -> str:
    if choices[0][0] is ops.NEGATE:
        refused = re.compile(f"[{''.join(re.escape(_one(c)) for c in choices[1:])}]")
        return next(c for c in "a1-,~" if not refused.match(c))
    return _one(choices[0])


def _one(choice: Any) -> str:
    op, arg = choice
    if op is ops.LITERAL:
        return chr(arg)
    if op is ops.RANGE:
        return chr(arg[0])
    return {ops.CATEGORY_DIGIT: "1", ops.CATEGORY_SPACE: " ", ops.CATEGORY_WORD: "a"}.get(arg, "-")


if __name__ == "__main__":
    main()
