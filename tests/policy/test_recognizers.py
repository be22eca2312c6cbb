"""The ``recognizers`` section: formats of one's own, texts always taken out, values never taken out."""

from __future__ import annotations

import pytest

from agentguard.assembly import content_rules
from agentguard.detect.redaction import redact
from agentguard.detect.registered import RegisteredSecrets
from agentguard.errors import PolicyError
from agentguard.policy import Policy

POLICY = """\
version: 1
recognizers:
  own:
    employee-id:
      class: pii
      pattern: EMP-[0-9]{6}
      keywords: [employee]
      examples: ["employee EMP-123456"]
      look_alikes: ["order EMP-123456"]
  deny: [Project Falcon]
  allow: ["*@example.com"]
"""
BOTH = frozenset({"secret", "pii"})


def test_the_section_changes_what_is_taken_out() -> None:
    rules = content_rules(Policy.parse(POLICY))

    out = redact(
        "employee EMP-654321 of Project Falcon (50726f6a6563742046616c636f6e): a@example.com, a@example.org",
        BOTH,
        RegisteredSecrets(rules.registered),
        choice=rules.choice,
    )

    assert out == (
        "employee [redacted:pii.employee-id] of [redacted:secret.registered] ([redacted:secret.registered]): "
        "a@example.com, [redacted:pii.email]"
    )


def test_every_part_changes_the_digest_of_what_happens_to_texts() -> None:
    plain = Policy.parse("version: 1\n")
    parts = ["allow: [a@b.co]", "deny: [Project Falcon]", "own: {a: {pattern: ab, examples: [ab]}}"]

    digests = {Policy.parse(f"version: 1\nrecognizers: {{{part}}}\n").texts_digest for part in parts}

    assert len(digests | {plain.texts_digest}) == 4


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        pytest.param("EMP-[0-9]{6}", "'(?<=a)EMP'", 6, "RE2 does not take", id="look-behind"),
        pytest.param("EMP-[0-9]{6}", "'E*'", 6, "empty text", id="matches-the-empty-text"),
        pytest.param("EMP-[0-9]{6}", r"'\AEMP'", 6, "line's edges", id="anchored-to-the-text"),
        pytest.param("employee EMP-123456", "employee EMP-12", 8, "example", id="example-fails"),
        pytest.param("employee EMP-123456", "worker EMP-123456", 8, "example", id="example-without-keyword"),
        pytest.param("order EMP-123456", "employee EMP-123456", 9, "look-alike", id="look-alike-found"),
        pytest.param("employee-id:", "Employee Id:", 4, "lower-case", id="name"),
        pytest.param("class: pii", "class: keys", 5, "pii", id="unknown-class"),
        pytest.param("Project Falcon", "abc", 10, "6", id="denied-text-too-short"),
        pytest.param("*@example.com", "[a-z]@example.com", 11, "brackets", id="allow-is-no-pattern"),
    ],
)
def test_what_could_not_work_is_a_load_error_at_its_place(old: str, new: str, line: int, said: str) -> None:
    with pytest.raises(PolicyError, match=said) as caught:
        Policy.parse(POLICY.replace(old, new, 1), path="p.yaml")

    assert caught.value.line == line
    assert caught.value.column
