"""Confidential values that a run has read, and whether an outgoing text carries one.

Guarantee: a value that was classified in a trusted or mixed result is recognised in an outgoing text in any case,
spacing or punctuation, percent-encoded, in base64 or hexadecimal, reversed, or with look-alike or invisible letters.
What a run remembers is bounded; past the bound ``full`` is true, and the caller must treat every outgoing text as one
that may carry something.

Finding is linear in the outgoing text: values are looked up by their first letters, however many are remembered.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agentguard.decision import Span
from agentguard.text.folds import distrusting_fold
from agentguard.text.views import read

__all__ = ["Carried", "Classify", "Confidential", "cleared"]

# Finds confidential values: (class, where) each. Classes are dotted, general first: "pii.email", "secret.token".
Classify = Callable[[str], Iterable[tuple[str, Span]]]

MAX_VALUES = 5_000
MAX_VALUE_CHARS = 4_096
# Characters of all values together.
MAX_CHARS = 1_000_000
# Values are looked up by this many letters. Shorter ones stand in every text.
KEY_CHARS = 5


@dataclass(frozen=True, slots=True)
class Carried:
    """One confidential value found in an outgoing text.

    ``kind`` is its class, ``source`` the tool that returned it and ``view`` how it was written: ``plain``, or the name
    of the reading that shows it. The value itself is for comparing only: never hand it to a model.
    """

    kind: str
    source: str
    value: str
    view: str


@dataclass(frozen=True, slots=True)
class _Probe:
    text: str
    kind: str
    source: str
    value: str
    view: str


class Confidential:
    """The confidential values of one run. Not thread-safe: it lives in the run's ledger and under its lock.

    Args:
        classify: finds confidential values in a text.
    """

    def __init__(self, classify: Classify) -> None:
        self._classify = classify
        self._shelves: dict[str, _Shelf] = {}
        self._known: set[tuple[str, str]] = set()
        self._room = MAX_CHARS
        self.full = False

    def remember(self, source: str, text: str) -> None:
        """Take note of what is confidential in ``text``, a trusted or mixed result of the tool ``source``."""
        for kind, span in self._classify(text):
            self.keep(source, kind, text[span.start : span.end])

    def keep(self, source: str, kind: str, value: str) -> None:
        """Take note of one value of class ``kind``."""
        folded = distrusting_fold(value)
        if len(folded) < KEY_CHARS or (kind, folded) in self._known:
            return
        if len(self._known) >= MAX_VALUES or len(value) > min(MAX_VALUE_CHARS, self._room):
            self.full = True
            return
        self._room -= len(value)
        self._known.add((kind, folded))
        for probe in _probes(kind, source, value, folded):
            self._shelves.setdefault(probe.text[:KEY_CHARS], _Shelf()).put(probe)

    def carried(self, text: str, public: Callable[[str], bool] = lambda value: False) -> tuple[Carried, ...]:
        """What ``text`` carries, each value once.

        ``public`` says of a value that it may be written anyway: it stands in the request, or is a recipient's own.
        """
        if not self._shelves:
            return ()
        found: dict[tuple[str, str], Carried] = {}
        judged: dict[str, bool] = {}
        for view, letters in _readings(text):
            for probe in self._hits(letters):
                key = (probe.kind, probe.value)
                if key in found:
                    continue
                if probe.value not in judged:
                    judged[probe.value] = public(probe.value)
                if not judged[probe.value]:
                    name = view if probe.view == "plain" else probe.view
                    found[key] = Carried(probe.kind, probe.source, probe.value, name)
        return tuple(found.values())

    def _hits(self, letters: str) -> Iterator[_Probe]:
        for place in range(len(letters) - KEY_CHARS + 1):
            shelf = self._shelves.get(letters[place : place + KEY_CHARS])
            if shelf is not None:
                yield from shelf.at(letters, place)


class _Shelf:
    """The probes that begin with the same letters, by length and text: one look-up per length that occurs."""

    __slots__ = ("_by_length",)

    def __init__(self) -> None:
        self._by_length: dict[int, dict[str, list[_Probe]]] = {}

    def put(self, probe: _Probe) -> None:
        # Probes of the same text differ in class: few.
        self._by_length.setdefault(_step(len(probe.text)), {}).setdefault(_head(probe.text), []).append(probe)

    def at(self, letters: str, place: int) -> Iterator[_Probe]:
        for length, probes in self._by_length.items():
            for probe in probes.get(letters[place : place + length], ()):
                if letters.startswith(probe.text, place):
                    yield probe


def _step(length: int) -> int:
    """Lengths are rounded down to a power of two, so that few of them occur."""
    return 1 << (length.bit_length() - 1)


def _head(text: str) -> str:
    return text[: _step(len(text))]


def cleared(clears: Mapping[str, Callable[[str], bool]], kind: str, recipients: Sequence[str]) -> bool:
    """Whether a value of class ``kind`` may go to all ``recipients``: a row for ``pii`` covers ``pii.email`` as well.

    Without recipients nobody is known to be entitled, so the answer is no.
    """
    parts = kind.split(".")
    rows = [clears[name] for size in range(len(parts), 0, -1) if (name := ".".join(parts[:size])) in clears]
    return bool(recipients) and bool(rows) and all(rows[0](recipient) for recipient in recipients)


def _readings(text: str) -> Iterator[tuple[str, str]]:
    yield "plain", distrusting_fold(text)
    for view in read(text):
        yield view.name, distrusting_fold(view.text)


def _probes(kind: str, source: str, value: str, folded: str) -> Iterator[_Probe]:
    """The value's letters as written, reversed, and inside an encoding that starts or ends anywhere round it."""
    forms = {"plain": folded, "reversed": folded[::-1]}
    raw = value.encode("utf-8", "replace")
    forms["hex"] = raw.hex()
    for shift in range(3):
        forms[f"base64-{shift}"] = _base64_core(raw, shift)
    for view, text in forms.items():
        if len(text) >= KEY_CHARS:
            yield _Probe(text, kind, source, value, view)


def _base64_core(raw: bytes, shift: int) -> str:
    """The part of the encoding that does not depend on what stands before and behind the value."""
    encoded = base64.b64encode(b"\x00" * shift + raw).decode().rstrip("=")
    start = (0, 2, 3)[shift]
    end = len(encoded) - (1 if (len(raw) + shift) % 3 else 0)
    return distrusting_fold(encoded[start:end])
