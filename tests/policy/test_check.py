"""What a policy says that its author can hardly mean, each with its code and place."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from agentguard.policy import STARTER_POLICY
from agentguard.policy.check import CODES, Remark, check
from agentguard.policy.toolspec import Parameter, ToolSpec

ROOT = Path(__file__).resolve().parents[2]

CLEAN = """\
version: 1
roles:
  r: {permissions: [execute_agent], tools: [find, send]}
agents:
  a: {roles: [r]}
tools:
  find: {side_effect: read, output: trusted}
  send:
    side_effect: send
    args:
      to: {sink: recipient, sources: [user, find], allow: ["*@example.com"]}
      body: {content: true}
"""
TOOLS = [ToolSpec("find"), ToolSpec("send", parameters=(Parameter("to"), Parameter("body")))]


def codes(text: str, tools: list[ToolSpec] | None = None) -> dict[str, Remark]:
    return {remark.code: remark for remark in check(text, path="p.yaml", tools=tools)}


def test_a_clean_policy_has_no_remarks() -> None:
    assert check(CLEAN, tools=TOOLS) == []


@pytest.mark.parametrize("path", ["examples/agentguard_demo/agentguard.yaml", "benchmarks/agentguard.yaml"])
def test_our_own_policies_are_clean(path: str) -> None:
    assert check((ROOT / path).read_text()) == []


def test_the_starter_is_clean() -> None:
    assert check(STARTER_POLICY) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "line", "words"),
    [
        pytest.param("agents:\n", "  x: {}\nagents:\n", "role-unused", 4, "role x", id="unused"),
        pytest.param(
            "agents:\n", "  x: {}\n  z: {inherits: [x]}\nagents:\n", "role-unheld", 4, "no agent holds", id="unheld"
        ),
        pytest.param(
            "tools: [find, send]", "tools: [find, send], deny: [find]", "allow-denied", 3, "'find'", id="denied"
        ),
        pytest.param(
            "  r: {permissions: [execute_agent], tools: [find, send]}",
            "  p: {deny: ['s*']}\n  r: {inherits: [p], tools: [find, send]}",
            "allow-denied",
            4,
            "'send'",
            id="denied-by-what-is-inherited",
        ),
        pytest.param("tools: [find, send]", "tools: ['*', send]", "allow-covered", 3, "'send'", id="covered"),
        pytest.param("tools: [find, send]", "tools: [find, send, find]", "allow-covered", 3, "'find'", id="twice"),
        pytest.param("tools: [find, send]", "tools: [find]", "tool-unpermitted", 8, "tool send", id="unpermitted"),
        pytest.param("      body: {content: true}", "      body: {}", "argument-without-label", 12, "body", id="label"),
        pytest.param(
            "sink: recipient, sources: [user, find]", "sink: recipient", "sink-without-sources", 11, "to", id="sources"
        ),
        pytest.param("tools: [find, send]", "tools: [send]", "source-out-of-reach", 11, "its source find", id="reach"),
        pytest.param(
            'allow: ["*@example.com"]',
            'allow: ["*@example.com", "*@x.org"], deny: ["*@example.com"]',
            "deny-covers-allow",
            11,
            "'*@example.com'",
            id="allow-refused",
        ),
        pytest.param(
            'allow: ["*@example.com"]',
            'one_of: [a@example.com, b@x.org], allow: ["*@example.com"]',
            "value-unreachable",
            11,
            "allow refuses 'b@x.org'",
            id="one-of-beside-allow",
        ),
        pytest.param("version: 1", "version: 1\nmode: shadow", "shadow-mode", 2, "whole policy", id="shadow"),
        pytest.param(
            "output: trusted", "output: trusted, mode: shadow", "shadow-mode", 7, "tool find", id="tool-shadow"
        ),
        pytest.param("tools: [find, send]", "tools: [find, send], mode: shadow", "shadow-mode", 3, "role r", id="role"),
        pytest.param(
            "version: 1",
            "version: 1\noutput: {redact: [secret]}\nredaction: {pii: mask}",
            "operator-unused",
            3,
            "pii is redacted nowhere",
            id="operator-of-a-class-nobody-redacts",
        ),
        pytest.param(
            "version: 1",
            "version: 1\nredaction: {pii: encrypt}",
            "encrypted-for-good",
            2,
            "no argument",
            id="encrypted",
        ),
        pytest.param(
            "{sink: recipient",
            "{restore: [pii], sink: recipient",
            "restore-uncleared",
            13,
            "clears names nobody",
            id="restored-and-not-cleared",
        ),
        pytest.param(
            "{sink: recipient",
            "{restore: [pii], sink: recipient",
            "restore-without-token",
            14,
            "in the clear",
            id="restored-and-never-redacted",
        ),
        pytest.param("version: 1", "version: 1\naudit: {fail: unsafe-open}", "unsafe-open", 2, "recorded", id="open"),
        pytest.param(
            "version: 1", "version: 1 # REVIEW: a\n# REVIEW: b", "review-marks", 1, "2 REVIEW marks", id="marks"
        ),
    ],
)
def test_remarks(old: str, new: str, code: str, line: int, words: str) -> None:
    assert old in CLEAN
    text = CLEAN.replace(old, new, 1)
    if "restore:" in new:
        shown = "output: {redact: []}\n" if code == "restore-without-token" else ""
        text = text.replace("roles:", f"{shown}redaction:\n  pii: pseudonym\nroles:", 1)

    found = codes(text)

    assert code in found, found
    assert found[code].line == line
    assert words in found[code].message


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("tools: [find, send]", "tools: ['*'], deny: [find]", id="a-deny-that-is-an-exception"),
        pytest.param('allow: ["*@example.com"]', 'allow: ["*@example.com"], deny: ["eve@*"]', id="a-narrower-deny"),
        pytest.param(
            'allow: ["*@example.com"]', 'allow: ["*@example.com"], deny: ["?@example.com"]', id="question-mark"
        ),
        pytest.param("sources: [user, find]", "sources: [user], one_of: [a@example.com]", id="one-of-that-fits"),
        pytest.param("# ", "# review this", id="another-comment"),
    ],
)
def test_what_has_an_honest_use_is_not_remarked(old: str, new: str) -> None:
    found = codes(CLEAN.replace(old, new, 1))

    assert not {"allow-denied", "deny-covers-allow", "value-unreachable", "review-marks"} & set(found)


@pytest.mark.parametrize(
    ("tools", "code", "words"),
    [
        pytest.param([*TOOLS, ToolSpec("drop")], "tool-without-row", "'drop' has no row", id="new-tool"),
        pytest.param(TOOLS[1:], "tool-not-given", "tool find", id="old-tool"),
        pytest.param(
            [TOOLS[0], ToolSpec("send", parameters=(*TOOLS[1].parameters, Parameter("cc")))],
            "argument-without-row",
            "'cc' has no row: only the user's words may set it",
            id="new-argument",
        ),
        pytest.param(
            [TOOLS[0], ToolSpec("send", parameters=(Parameter("to"),))], "argument-not-taken", "body", id="old-argument"
        ),
    ],
)
def test_the_policy_is_held_against_the_real_tools(tools: list[ToolSpec], code: str, words: str) -> None:
    found = codes(CLEAN, tools)

    assert words in found[code].message


@pytest.mark.parametrize(
    ("names", "returns", "remarked"),
    [
        pytest.param("[boddy]", {"id": "integer", "body": "string"}, True, id="misspelt"),
        pytest.param("[Body]", {"id": "integer", "body": "string"}, False, id="other-case"),
        pytest.param("[mail.body]", {"id": "integer", "body": "string"}, False, id="dotted"),
        pytest.param("[boddy]", {"id": "integer", "mail": "object"}, False, id="perhaps-nested"),
        pytest.param("[boddy]", {}, False, id="schema-unknown"),
    ],
)
def test_a_misspelt_free_text_field_is_told(names: str, returns: dict[str, str | None], remarked: bool) -> None:
    text = CLEAN.replace("output: trusted", f"output: mixed, free_text: {names}", 1)
    assert text != CLEAN

    found = codes(text, [dataclasses.replace(TOOLS[0], returns=returns), *TOOLS[1:]])

    assert ("free-text-not-returned" in found) is remarked
    if remarked:
        assert "'body' is meant, perhaps" in found["free-text-not-returned"].message


def test_every_code_is_tested_and_explained() -> None:
    source = Path(__file__).read_text()

    assert [code for code in CODES if source.count(f'"{code}"') == 0] == []
