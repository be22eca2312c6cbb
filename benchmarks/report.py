"""Tables of measurements, printed as Markdown so that docs/benchmarks.md can hold them as they are."""

from __future__ import annotations

from agentguard.detect.evaluation import Table

__all__ = ["Row", "Table"]


class Row(tuple[str, ...]):
    """The cells of one line."""

    __slots__ = ()

    def __new__(cls, *cells: str) -> Row:
        return super().__new__(cls, cells)
