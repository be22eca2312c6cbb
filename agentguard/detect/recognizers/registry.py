"""The built-in recognizers, compiled once per class on first use."""

from __future__ import annotations

import functools

from agentguard.detect.recognizers.engine import Match, RecognizerSet
from agentguard.detect.recognizers.pii import RECOGNIZERS as PII
from agentguard.detect.recognizers.secrets import RECOGNIZERS as SECRETS

__all__ = ["CLASSES", "pii", "recognizers_for", "scan", "secrets"]

CLASSES = {"secret": SECRETS, "pii": PII}


@functools.lru_cache(maxsize=8)
def recognizers_for(classes: frozenset[str]) -> RecognizerSet:
    """The built-in recognizers of the named classes (``secret``, ``pii``) as one set."""
    return RecognizerSet(r for name in sorted(classes) for r in CLASSES[name])


def secrets() -> RecognizerSet:
    """Provider keys, private keys, tokens, URL credentials, password-like assignments."""
    return recognizers_for(frozenset({"secret"}))


def pii() -> RecognizerSet:
    """E-mail, phone, card, IBAN, SSN, network and wallet addresses."""
    return recognizers_for(frozenset({"pii"}))


def scan(text: str) -> tuple[Match, ...]:
    """Secrets and personal data in one pass."""
    return recognizers_for(frozenset(CLASSES)).scan(text)
