"""Recognizers for secrets and personal data: data tables over one linear-time engine."""

from agentguard.detect.recognizers.engine import LIMIT, Match, Recognizer, RecognizerSet
from agentguard.detect.recognizers.own import BUILT_IN, Choice, own_recognizer
from agentguard.detect.recognizers.registry import pii, scan, secrets

__all__ = [
    "BUILT_IN",
    "Choice",
    "LIMIT",
    "Match",
    "Recognizer",
    "RecognizerSet",
    "own_recognizer",
    "pii",
    "scan",
    "secrets",
]
