"""Attacks on the policy tools: files written to make them fail."""

from __future__ import annotations

from agentguard import Policy
from agentguard.cases import CaseFile

POLICY = """
version: 1
roles:
  r: {permissions: [execute_agent], tools: ["*"]}
agents:
  a: {roles: [r]}
tools:
  send: {side_effect: send, args: {to: {sources: [user]}}, extra_args: allow}
"""
CASES = r"""
version: 1
cases:
  - name: one
    agent: a
    request: Send a mail to ann@example.com
    steps:
      - call: {tool: send, args: {to: ann@example.com, "k\e[5m": 1}}
        expect: ask
"""


def test_an_argument_named_with_an_escape_sequence_is_judged() -> None:
    """The checks clean the name, so that it is no longer the one in the file."""
    (outcome,) = CaseFile.parse(CASES).run(Policy.parse(POLICY))

    assert not any(step.faults for step in outcome.steps)
