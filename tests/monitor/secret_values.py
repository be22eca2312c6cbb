"""Values of every class the recognizers know, made by their own examples at run time."""

from __future__ import annotations

from agentguard.detect.recognizers.registry import CLASSES, scan

__all__ = ["EXAMPLES"]


def _examples() -> dict[str, tuple[str, tuple[str, ...]]]:
    """By type: a text, and the values in it that no alert may show."""
    found: dict[str, tuple[str, tuple[str, ...]]] = {}
    for recognizers in CLASSES.values():
        for recognizer in recognizers:
            for example in recognizer.examples():
                text = " ".join(example.split())
                values = tuple(text[match.start : match.end] for match in scan(text))
                # What fills a whole key file is too long for a name.
                if values and len(text) < 200:
                    found.setdefault(recognizer.type, (text, values))
    return found


EXAMPLES = _examples()
