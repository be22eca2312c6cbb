"""The reference of the policy file, made from its schema: one Markdown table per row, no key left out.

``docs/policy.md`` holds the tables between marks (``<!-- rows: tools.* -->`` and ``<!-- end -->``); ``filled`` puts
today's in. Descriptions stand in ``schema.py``, so that an editor's hint and the page say the same.
"""

from __future__ import annotations

import json
import re
from typing import Any

from agentguard.errors import ConfigError
from agentguard.policy.schema import PolicyFile

__all__ = ["ROWS", "filled", "table"]

# Where each row stands in the file, and the name of its model.
ROWS = {
    "file": "PolicyFile",
    "roles.*": "RoleRow",
    "agents.*": "AgentRow",
    "agents.*.may_message.*": "MessageRow",
    "tools.*": "ToolRow",
    "tools.*.args.*": "ArgRow",
    "tools.*.rate": "RateRow",
    "input": "InputRow",
    "input.injection": "InjectionRow",
    "input.injection.thresholds": "ThresholdsRow",
    "output": "OutputRow",
    "recognizers": "RecognizersRow",
    "recognizers.own.*": "OwnRecognizerRow",
    "redaction": "RedactionsRow",
    "redaction.*": "RedactionRow",
    "flow": "FlowRow",
    "rates": "RatesRow",
    "approval": "ApprovalRow",
    "audit": "AuditRow",
    "monitor": "MonitorRow",
}

_MARKED = re.compile(r"(<!-- rows: ([a-z_.*]*) -->\n)(?:.*?\n)??(<!-- end -->)", re.DOTALL)


def table(place: str) -> str:
    """The keys of the row at ``place``: name, what is accepted, default, meaning.

    Raises:
        ConfigError: no row stands at ``place``.
    """
    if place not in ROWS:
        raise ConfigError(f"no row stands at {place!r}; accepted: {', '.join(ROWS)}")
    schema = PolicyFile.model_json_schema()
    model = schema["$defs"].get(ROWS[place], schema)
    lines = ["| key | accepted | default | meaning |", "|---|---|---|---|"]
    for name, field in model["properties"].items():
        cells = (f"`{name}`", _accepted(schema, field), _default(model, name, field), field.get("description", ""))
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def filled(page: str) -> str:
    """``page`` with the table of each marked row put in.

    Raises:
        ConfigError: a mark names no row.
    """
    return _MARKED.sub(lambda mark: f"{mark[1]}\n{table(mark[2])}\n{mark[3]}", page)


def _accepted(schema: dict[str, Any], field: dict[str, Any]) -> str:
    """In words: ``text``, ``list of names``, the accepted words themselves."""
    if "$ref" in field:
        return _accepted(schema, schema["$defs"][field["$ref"].rpartition("/")[2]])
    if "anyOf" in field:
        options = [_accepted(schema, option) for option in field["anyOf"] if option.get("type") != "null"]
        return ", or ".join(dict.fromkeys(options))
    if "const" in field:
        return f"`{json.dumps(field['const'])}`"
    if "enum" in field:
        return ", ".join(_word(word) for word in field["enum"])
    if field.get("type") == "array":
        return f"list of: {_accepted(schema, field.get('items', {}))}"
    if field.get("type") == "object":
        return "mapping" if "properties" in field else f"mapping of: {_accepted(schema, _values(field))}"
    return _named(field)


def _values(field: dict[str, Any]) -> dict[str, Any]:
    values = field.get("additionalProperties")
    return values if isinstance(values, dict) else {}


def _named(field: dict[str, Any]) -> str:
    kind = field.get("type")
    words = {"string": "text", "integer": "whole number", "number": "number", "boolean": "`true`, `false`"}
    named = words.get(kind, "any") if isinstance(kind, str) else "any"
    low = field.get("minimum", field.get("exclusiveMinimum"))
    high = field.get("maximum")
    if low is None and high is None:
        return named
    if high is None:
        return f"{named} from {low}"
    return f"{named}, {'above ' if 'exclusiveMinimum' in field else ''}{low} to {high}"


def _default(model: dict[str, Any], name: str, field: dict[str, Any]) -> str:
    if name in model.get("required", ()):
        return "required"
    value = field.get("default")
    if value in (None, [], {}):
        return "none"
    if isinstance(value, dict):
        return "below"
    return _word(value) if isinstance(value, str) else f"`{json.dumps(value)}`"


def _word(word: str) -> str:
    """As it must be written: YAML would read a plain ``off`` as false."""
    return f'`"{word}"`' if word in ("off", "on", "yes", "no") else f"`{word}`"
