"""What secrets and personal data look like, as data, and the engine that finds them in one pass."""

from __future__ import annotations

import functools

from agentguard.detect.recognizers.engine import Engine, Match, Recognizer, Scan

__all__ = ["CLASSES", "Engine", "Match", "Recognizer", "Scan", "engine_for", "recognizers_of"]

# The classes of entities a policy can name.
CLASSES = ("secret", "pii")


def recognizers_of(classes: frozenset[str]) -> tuple[Recognizer, ...]:
    """The recognizers of the given classes."""
    from agentguard.detect.recognizers.pii import PII
    from agentguard.detect.recognizers.secrets import SECRETS

    return tuple(r for r in (*SECRETS, *PII) if r.type.partition(".")[0] in classes)


@functools.lru_cache(maxsize=4)
def engine_for(classes: frozenset[str]) -> Engine:
    """The compiled engine for a set of classes; built once per process."""
    return Engine(recognizers_of(classes))
