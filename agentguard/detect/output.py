"""``OutputSecurityFilter``: what a model's answer may carry to a person or a page."""

from __future__ import annotations

from collections.abc import Mapping

from agentguard.detect.markup import inspect_markup, neutralize
from agentguard.detect.recognizers.engine import LIMIT
from agentguard.detect.redaction import Operator, find, replace, tag
from agentguard.detect.registered import RegisteredSecrets

__all__ = ["OutputSecurityFilter"]


class OutputSecurityFilter:
    """Redact secrets and personal data, and disarm active markup.

    Args:
        redact: the classes to redact, ``secret`` and ``pii``.
        operator: what stands in a value's place.
        hosts: the only hosts that links and images may lead to; None allows links, and images that carry no data.
    """

    def __init__(
        self,
        redact: frozenset[str] = frozenset({"secret", "pii"}),
        operator: Operator = tag,
        hosts: frozenset[str] | None = None,
    ) -> None:
        self._classes = frozenset(redact)
        self._operator = operator
        self._hosts = hosts

    def filter_output(self, text: str, context: Mapping[str, object] | None = None) -> str:
        """Fit to show, without the ``context`` values under keys ending in ``_secret`` or ``_key``, in any form."""
        matches = find(text, self._classes, RegisteredSecrets.from_context(context))
        return neutralize(replace(text, matches, self._operator), hosts=self._hosts)

    def validate_output_safety(self, text: str) -> tuple[bool, str | None]:
        """``(True, None)``, or ``(False, reason)`` for active markup, secrets, or a text too crowded to examine."""
        for finding in inspect_markup(text, hosts=self._hosts):
            return False, f"{finding.type}: rule {finding.rule} at characters {finding.start}-{finding.end}"
        for match in find(text, self._classes):
            if match.type == LIMIT or match.type.startswith("secret."):
                return False, f"{match.type}: rule {match.rule} at characters {match.start}-{match.end}"
        return True, None
