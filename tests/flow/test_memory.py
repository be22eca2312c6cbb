"""What a run has read is found again, whichever text it stands in."""

from __future__ import annotations

import pytest

from agentguard.flow.memory import Memory, Text


@pytest.mark.parametrize("token", ["9", "ab", "x1"])
def test_a_short_token_is_found_in_every_text_that_holds_it(token: str) -> None:
    """An outsider's text that happens to hold the number of a record must not hide the record."""
    memory = Memory(100_000)
    for number in range(3):
        body = f"text {number} with {token} in it"
        memory.add(Text.of(f"tool:t{number}", body), body, number)

    assert [hit.text.source for hit in memory.find_token(token)] == ["tool:t2", "tool:t1", "tool:t0"]
