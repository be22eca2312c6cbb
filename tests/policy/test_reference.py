"""docs/policy.md tells the truth: its example loads, and it names every key, word and default there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from agentguard import Policy
from agentguard.errors import ConfigError
from agentguard.policy import STARTER_POLICY
from agentguard.policy.reference import ROWS, filled, table
from agentguard.policy.schema import PolicyFile

ROOT = Path(__file__).resolve().parents[2]
REFERENCE = (ROOT / "docs" / "policy.md").read_text()


def _words(schema: Any) -> set[str]:
    """Every property name and enumerated word of a JSON Schema."""
    if isinstance(schema, dict):
        found = set(schema.get("properties", {}))
        found |= {word for word in schema.get("enum", []) if isinstance(word, str)}
        found |= {schema["const"]} if isinstance(schema.get("const"), str) else set()
        return found.union(*map(_words, schema.values()))
    return set().union(*map(_words, schema)) if isinstance(schema, list) else set()


def test_the_example_loads() -> None:
    (example,) = re.findall(r"^```yaml\n(.*?)^```$", REFERENCE, re.MULTILINE | re.DOTALL)

    policy = Policy.parse(example)

    assert set(policy.tools) == {"web_search", "contacts.lookup", "send_email"}


def test_the_tables_are_the_schemas() -> None:
    """After a change of the schema, `make docs` writes them anew."""
    assert filled(REFERENCE) == REFERENCE


def test_every_row_of_the_schema_has_its_table_on_the_page() -> None:
    models = {*PolicyFile.model_json_schema()["$defs"], "PolicyFile"}

    assert set(ROWS.values()) == models
    assert set(re.findall(r"<!-- rows: (\S+) -->", REFERENCE)) == set(ROWS)


@pytest.mark.parametrize("place", ROWS)
def test_every_key_says_what_it_means(place: str) -> None:
    rows = table(place).splitlines()[2:]

    assert rows
    assert [row for row in rows if row.endswith("|  |")] == []


def test_a_mark_that_names_no_row_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no row stands at 'tool'"):
        filled("<!-- rows: tool -->\n<!-- end -->\n")


@pytest.mark.parametrize("word", sorted(_words(Policy.json_schema())))
def test_every_key_and_word_of_the_schema_is_explained(word: str) -> None:
    assert re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", REFERENCE), f"{word} is not in docs/policy.md"


def test_the_defaults_are_the_ones_the_reference_names() -> None:
    policy = Policy.default()

    assert (policy.input.max_length, policy.input.tool_result_max, policy.output.max_length) == (10_000, 10**6, 10**5)
    assert sorted(policy.output.redact) == ["pii", "secret"]
    assert sorted(policy.input.redact) == ["secret"]
    assert (policy.output.markup, policy.input.unicode, policy.output.allow_hosts) == ("block", "strip", ())
    assert (policy.audit.payloads, policy.audit.fail, policy.mode) == ("digest", "closed", "enforce")


def _reasons() -> set[str]:
    # The channel's own words for why a peer or a message was refused stand in docs/channel.md.
    files = [path for path in (ROOT / "agentguard").rglob("*.py") if "channel" not in path.parts]
    sources = "".join(path.read_text() for path in files)
    return set(re.findall(r'reason="([a-z-]+)"', sources))


def test_every_reason_a_decision_can_give_is_listed() -> None:
    page = (ROOT / "docs" / "errors.md").read_text().split("## Refusals")[1].split("## Errors")[0]
    listed = {reason for row in page.splitlines() for reason in re.findall(r"`([a-z-]+)`", row.split(" | ")[0])}

    assert _reasons() - listed == set()


def test_the_starters_examples_load_once_uncommented() -> None:
    lines = [line[1:] if line.startswith("#  ") else line.removesuffix(" {}") for line in STARTER_POLICY.splitlines()]

    policy = Policy.parse("\n".join(lines))

    assert set(policy.tools) == {"web_search", "contacts.lookup", "send_email"}
    assert set(policy.agents) == {"researcher", "editor"}
