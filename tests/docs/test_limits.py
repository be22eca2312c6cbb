"""What the pages say of limits, headers and approvals, run as it stands; each with a case that is refused."""

from __future__ import annotations

from agentguard import Conversation, Effect, Policy, Principal, ToolCall
from agentguard.dryrun import dry_guard
from tests.docs.pages import ROOT, files

POLICY = (ROOT / "docs" / "policy.md").read_text()


def test_the_rates_of_the_policy_page_hold_together_for_tools() -> None:
    """Two dear calls use ten a minute up; the third of any tool is refused with the wait."""
    policy = Policy.parse(files(POLICY)["rates.yaml"])
    run = Conversation(principal=Principal("bot"))

    with dry_guard(policy) as guard:
        found = [guard.check(ToolCall(tool, {}), run=run) for tool in ("render", "render", "search")]

    assert [each.effect for each in found] == [Effect.ALLOW, Effect.ALLOW, Effect.DENY]
    assert found[2].retry_after is not None
