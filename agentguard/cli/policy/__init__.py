"""``agentguard policy``: what a person does with a policy. One module per verb; stdout is data, stderr is talk."""

from __future__ import annotations

import typer

from agentguard.cli.policy.cases import run_cases
from agentguard.cli.policy.check import check_policy
from agentguard.cli.policy.draft import write_draft
from agentguard.cli.policy.explain import explain_decision
from agentguard.cli.policy.lint import lint_policy_labels
from agentguard.cli.policy.pin import pin_tools
from agentguard.cli.policy.replay import replay_policy
from agentguard.cli.policy.schema import print_schema
from agentguard.cli.policy.suggest import suggest_labels

__all__ = ["app"]

app = typer.Typer(help="Draft, check, explain, test and change a policy.", no_args_is_help=True)
app.command("init")(write_draft)
app.command("check")(check_policy)
app.command("explain")(explain_decision)
app.command("lint-labels")(lint_policy_labels)
app.command("pin")(pin_tools)
app.command("replay")(replay_policy)
app.command("schema")(print_schema)
app.command("suggest")(suggest_labels)
app.command("test")(run_cases)
