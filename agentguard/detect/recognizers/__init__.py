"""Recognizers for secrets and personal data: data tables over one linear-time engine."""

from agentguard.detect.recognizers.engine import LIMIT, Match, Recognizer, RecognizerSet
from agentguard.detect.recognizers.registry import pii, scan, secrets

__all__ = ["LIMIT", "Match", "Recognizer", "RecognizerSet", "pii", "scan", "secrets"]
