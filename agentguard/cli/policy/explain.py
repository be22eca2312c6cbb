"""``agentguard policy explain``: stage by stage, which rule, which line, and where each value came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from agentguard.audit import AuditLog
from agentguard.cli.option import HomeOption, JsonOption
from agentguard.cli.output import print_json, print_line, print_table, shown, word
from agentguard.errors import CasesError, ConfigError
from agentguard.event import Json, Principal, ToolCall, ToolResult
from agentguard.explain import Explanation, explain, line_of, parsed_results
from agentguard.policy import Policy
from agentguard.policy.document import Document, read, read_file
from agentguard.recorded import RecordedDecision
from agentguard.store import Home

__all__ = ["explain_decision"]


def explain_decision(  # noqa: PLR0917  # typer reads options from plain parameters
    policy: Annotated[Path, typer.Option("--policy", help="The policy file.")] = Path("agentguard.yaml"),
    tool: Annotated[str | None, typer.Option("--tool", help="The tool that is called.")] = None,
    args: Annotated[str, typer.Option("--args", help="Its arguments, as a JSON object.")] = "{}",
    agent: Annotated[str | None, typer.Option("--agent", help="The agent that acts.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="The user it acts for.")] = None,
    role: Annotated[list[str] | None, typer.Option("--role", help="A role of the user; repeatable.")] = None,
    request: Annotated[str | None, typer.Option("--request", help="The user's own words.")] = None,
    results: Annotated[
        Path | None,
        typer.Option("--results", help="What the agent read before: a list of {tool, content}, YAML or JSON."),
    ] = None,
    decision: Annotated[str | None, typer.Option("--decision", help="A recorded decision, by its id.")] = None,
    home: HomeOption = Path(".agentguard"),
    as_json: JsonOption = False,
) -> None:
    """Tell why a call passes or not: every stage's answer, the lines of the policy, and where each value came from.

    Either a call of your own, judged now by the policy as enforced; or a decision of the log, as it was recorded.

    Example: agentguard policy explain --agent support --tool send_mail --args '{"to": "eve@example.net"}' \\
    --request "Mail customer 1042." --results read.yaml

    Example: agentguard policy explain --decision 5f2c0a9be1d34477

    Exit code: 0 allowed, 1 refused or asked, 2 usage, 3 policy or log cannot be read.
    """
    if (tool is None) == (decision is None):
        raise ConfigError("give either --tool (a call to judge) or --decision (an id of the log)")
    text = read_file(str(policy), missing="no such policy file; `agentguard init` writes a starter policy")
    document = read(text, path=str(policy))
    if decision is not None:
        with AuditLog.open(Home.open(home)) as log:
            _print_recorded(RecordedDecision.find(log, decision), document, as_json)
        return
    if agent is None or tool is None:
        raise ConfigError("--agent is missing: say who acts, by the name that the policy gives it")
    found = explain(
        Policy.parse(text, path=str(policy)),
        ToolCall(tool, _arguments(args)),
        principal=_principal(agent, user, role or []),
        request=request,
        results=_results(results),
    )
    if as_json:
        print_json(_record(found, document))
    else:
        _print(found, document)
    raise typer.Exit(0 if found.decision.allowed else 1)


def _arguments(text: str) -> dict[str, Json]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f'--args is no JSON ({error}); write \'{{"to": "anna@example.com"}}\'') from error
    if not isinstance(found, dict):
        raise ConfigError("--args is a JSON object of argument names and values")
    return found


def _principal(agent: str, user: str | None, roles: list[str]) -> Principal:
    if roles and user is None:
        raise ConfigError("--role belongs to a --user; an agent's roles stand in the policy")
    behalf = Principal(user, kind="user", roles=tuple(roles)) if user else None
    return Principal(agent, on_behalf_of=behalf)


def _results(path: Path | None) -> list[ToolResult]:
    if path is None:
        return []
    text = read_file(str(path), missing="no such file of results", error=CasesError)
    return parsed_results(read(text, path=str(path), error=CasesError).value)


def _place(document: Document, rule: str) -> str:
    line = line_of(document, rule)
    return f"{document.path}:{line}" if line else str(document.path)


def _print(found: Explanation, document: Document) -> None:
    decision = found.decision
    for result in found.withheld:
        print_line(f"note: the result of {shown(result.tool)} is withheld from the agent, so nothing in it counts")
    print_line(word(decision.effect), f"  {decision.reason or 'nothing speaks against it'}")
    if decision.message:
        print_line(f"  {shown(decision.message)}")
    rows = []
    for answer in found.stages:
        places = ", ".join(dict.fromkeys(f"{rule} ({_place(document, rule)})" for rule in answer.rules))
        rows.append((answer.name, word(answer.effect), answer.reason, shown(places)))
    print_table(("stage", "verdict", "reason", "rule"), rows)
    for answer in found.stages:
        for message in answer.messages:
            print_line(f"  {answer.name}: {shown(message)}")
    if found.origins:
        print_table(
            ("argument", "value", "", "origin", "verdict", "source"),
            [
                (shown(o.argument), shown(o.value), o.letter.name, o.meaning, word(o.effect), shown(o.source))
                for o in found.origins
            ],
        )


def _record(found: Explanation, document: Document) -> dict[str, Json]:
    decision = found.decision
    return {
        "effect": word(decision.effect),
        "reason": decision.reason or None,
        "message": decision.message or None,
        "withheld": [result.tool for result in found.withheld],
        "stages": [
            {
                "stage": answer.name,
                "effect": word(answer.effect),
                "reason": answer.reason or None,
                "messages": list(answer.messages),
                "rules": [{"rule": rule, "line": line_of(document, rule)} for rule in answer.rules],
                "rewritten": answer.rewritten,
            }
            for answer in found.stages
        ],
        "origins": [
            {
                "argument": o.argument,
                "value": o.value,
                "origin": o.letter.name,
                "effect": word(o.effect),
                "source": o.source or None,
                "excerpt": o.excerpt or None,
            }
            for o in found.origins
        ],
    }


def _print_recorded(found: RecordedDecision, document: Document, as_json: bool) -> None:
    """What the log holds; lines are those of the policy as it is now."""
    if as_json:
        print_json(
            {
                "decision": found.id,
                "time": found.time,
                "event": found.event,
                "tool": found.tool or None,
                "principal": found.principal.id,
                "mode": found.mode,
                "effect": word(found.effect),
                "reason": found.reason or None,
                "stage": found.stage or None,
                "rules": [{"rule": rule, "line": line_of(document, rule)} for rule in found.rules],
                "findings": list(found.findings),
                "origins": [
                    {
                        "argument": o.argument,
                        "value": o.value,
                        "origin": o.letter.name,
                        "effect": word(o.effect),
                        "source": o.source or None,
                        "stood": [[letter.name, source] for letter, source in o.stood],
                    }
                    for o in found.origins
                ],
            }
        )
        return
    shadow = " (shadow: not enforced)" if found.mode == "shadow" else ""
    print_line(word(found.effect), f"  {found.reason or 'nothing spoke against it'}{shadow}")
    print_line(
        f"  {found.time}  {found.event} {shown(found.tool)} by {shown(found.principal.id)}, decided by {found.stage}"
    )
    for rule in found.rules:
        print_line(f"  rule {shown(rule)} ({_place(document, rule)} as it is now)")
    if found.findings:
        print_line(f"  findings: {', '.join(found.findings)}")
    if found.origins:
        print_table(
            ("argument", "value", "", "origin", "verdict", "source", "stood also"),
            [
                (
                    shown(o.argument),
                    shown(o.value) if o.value is not None else f"({o.length} characters)",
                    o.letter.name,
                    o.letter.value,
                    word(o.effect),
                    shown(o.source),
                    shown(", ".join(source for _, source in o.stood if source and source != o.source)),
                )
                for o in found.origins
            ],
        )
