"""One answer of the posture check: what was looked at, what was seen, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

__all__ = ["Item", "Status"]


class Status(StrEnum):
    """What a check concludes; ``not-checked`` says nothing was seen, and counts as no."""

    OK = "ok"
    WEAK = "weak"
    FAILED = "failed"
    NOT_CHECKED = "not-checked"


@dataclass(frozen=True, slots=True)
class Item:
    """The answer of one check, true only when it is ``ok``.

    ``id`` is stable. ``evidence`` says what was seen, never a secret; ``remedy`` what to do, empty when all is well;
    ``age`` is that of what was judged, where it has one.
    """

    id: str
    status: Status
    evidence: str
    remedy: str = ""
    age: timedelta | None = None

    def __bool__(self) -> bool:
        return self.status is Status.OK

    @classmethod
    def ok(cls, evidence: str, *, age: timedelta | None = None) -> Item:
        """All is well. Whoever runs the check puts the id in."""
        return cls("", Status.OK, evidence, age=age)

    @classmethod
    def weak(cls, evidence: str, remedy: str, *, age: timedelta | None = None) -> Item:
        """It holds, but less than it could."""
        return cls("", Status.WEAK, evidence, remedy, age)

    @classmethod
    def failed(cls, evidence: str, remedy: str, *, age: timedelta | None = None) -> Item:
        """It does not hold."""
        return cls("", Status.FAILED, evidence, remedy, age)

    @classmethod
    def unchecked(cls, why: str, remedy: str) -> Item:
        """Nothing is known."""
        return cls("", Status.NOT_CHECKED, why, remedy)
