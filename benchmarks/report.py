"""Tables of measurements, printed as Markdown so that docs/benchmarks.md can hold them as they are."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Row", "Table"]


class Row(tuple[str, ...]):
    """The cells of one line."""

    __slots__ = ()

    def __new__(cls, *cells: str) -> Row:
        return super().__new__(cls, cells)


@dataclass(frozen=True, slots=True)
class Table:
    """A titled table."""

    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]

    def __str__(self) -> str:
        lines = [self.head, tuple("---" for _ in self.head), *self.rows]
        body = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return f"### {self.title}\n\n{body}\n"
