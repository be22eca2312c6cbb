"""How requests are worded, one module per language. A language is loaded when it is first needed."""

from __future__ import annotations

from importlib import import_module

from agentguard.flow.languages.language import Language

__all__ = ["CODES", "Language", "language"]

_MODULES = {"en": "english", "de": "german", "fr": "french", "es": "spanish"}
CODES = tuple(_MODULES)


def language(code: str) -> Language:
    """The language with this code, one of ``CODES``."""
    name = _MODULES[code]
    found: Language = getattr(import_module(f"agentguard.flow.languages.{name}"), name.upper())
    return found
