"""The confidential values of one run and its sub-agents, classified when something is about to leave."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from agentguard.flow.confidential import Carried, Classify, Confidential
from agentguard.flow.ledger import Ledger

__all__ = ["Secrets"]


class Secrets:
    """``run.slot(Secrets, Secrets)`` of the outermost run. Thread-safe."""

    def __init__(self) -> None:
        self._found: Confidential | None = None
        self._missed = False
        self._lock = threading.RLock()

    @property
    def full(self) -> bool:
        """Whether there was more than can be remembered: any text may carry something then."""
        return self._missed or (self._found is not None and self._found.full)

    def update(self, classify: Classify, ledgers: Sequence[Ledger]) -> None:
        """Classify what was read since the last time."""
        with self._lock:
            if self._found is None:
                self._found = Confidential(classify)
            for ledger in ledgers:
                self._missed = self._missed or ledger.missed
                for document in ledger.unclassified():
                    self._found.remember(document.source, document.body)

    def keep(self, classify: Classify, source: str, kind: str, value: str) -> None:
        """Take note of a value that was redacted from a result before it could be classified here."""
        with self._lock:
            if self._found is None:
                self._found = Confidential(classify)
            self._found.keep(source, kind, value)

    def carried(self, text: str, public: Callable[[str], bool] = lambda value: False) -> tuple[Carried, ...]:
        """The confidential values that ``text`` carries, but those that are ``public``."""
        with self._lock:
            return self._found.carried(text, public) if self._found is not None else ()
