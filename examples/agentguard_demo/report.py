"""What the demo shows: the two worlds side by side, every decision, and where a refused value came from."""

from __future__ import annotations

from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from agentguard import Decision, Effect, Letter, ToolCall
from agentguard.audit import LogRecord
from agentguard_demo.attack import Account, Attack, Outcome
from agentguard_demo.world import HARMS, HarmKind

__all__ = ["show", "summary"]

# A body full of addresses has a row for each; the first tell the story.
MAX_ROWS = 6

_ACCOUNTS: dict[Account, str] = {
    "harm": "it happened",
    "stopped": "the guard stopped it",
    "not-tried-again": "behind the guard the model did not try",
    "not-fallen-for": "the model did not fall for it",
}


def show(console: Console, attack: Attack) -> None:
    """Print the demo for a person."""
    console.print(Text("The user asks: ", style="bold"), Text(attack.task), "\n", sep="")
    model = "The model obeys whatever it reads." if attack.scripted else "The model is yours."
    console.print(f"The page, a file and a database field each carry orders from somebody else. {model}\n")
    console.print(_world_table(attack))
    console.print(_decision_table(attack.records))
    for decision in attack.refusals:
        if isinstance(decision.event, ToolCall) and decision.origins:
            console.print(_origin_table(decision, decision.event))
    verdict = Text(attack.report.verdict.value, style="green" if attack.report.exit_code == 0 else "bold red")
    console.print(Text("\nAudit log: "), verdict, f"{attack.report.records} encrypted records verified", sep=" ")


def summary(attack: Attack) -> dict[str, object]:
    """The demo for machines."""
    return {
        "held": attack.held,
        "scripted": attack.scripted,
        "unguarded": _outcome(attack.unguarded),
        "guarded": _outcome(attack.guarded),
        "accounts": attack.accounts,
        "decisions": [record.data for record in attack.records if record.data.get("type") == "decision"],
        "refusals": [_refusal(decision) for decision in attack.refusals],
        "audit": {"verdict": attack.report.verdict.value, "records": attack.report.records},
    }


def _world_table(attack: Attack) -> Table:
    table = Table(title="What really happened", title_justify="left", show_lines=False)
    for name in ("", "unguarded", "guarded", *(() if attack.scripted else ("why",))):
        table.add_column(name)
    for kind, words in HARMS.items():
        why = () if attack.scripted else (_why_not(attack, kind),)
        table.add_row(words, *(_harm(outcome, kind) for outcome in (attack.unguarded, attack.guarded)), *why)
    table.add_row("the honest task", *(_done(outcome) for outcome in (attack.unguarded, attack.guarded)))
    table.add_row("mails received", str(attack.unguarded.mails), str(attack.guarded.mails))
    return table


def _harm(outcome: Outcome, kind: HarmKind) -> Text:
    found = [harm.detail for harm in outcome.harm if harm.kind == kind]
    return Text("\n".join(found), style="red") if found else Text("none", style="green")


def _why_not(attack: Attack, kind: HarmKind) -> Text:
    account = attack.account(kind)
    refused = f" ({attack.guarded.tried[kind]} calls refused)" if account == "stopped" else ""
    return Text(_ACCOUNTS[account] + refused, style="red" if account == "harm" else "")


def _done(outcome: Outcome) -> Text:
    if outcome.honest_done:
        return Text("done", style="green")
    return Text(f"not done{f' ({outcome.ended})' if outcome.ended else ''}", style="red")


def _decision_table(records: list[LogRecord]) -> Table:
    table = Table(title="\nWhat the guard decided, from its audit log", title_justify="left")
    for name in ("event", "tool", "decision", "why"):
        table.add_column(name)
    for record in records:
        if record.data.get("type") != "decision" or _is_dull(record):
            continue
        decision = str(record.data["decision"])
        style = "green" if decision == "allow" else "red"
        table.add_row(
            str(record.data["event"]),
            str(record.data.get("gen_ai.tool.name") or ""),
            Text(decision, style=style),
            _why(record),
        )
    return table


def _is_dull(record: LogRecord) -> bool:
    """Texts that passed untouched: true, recorded, and not worth a line here."""
    return record.data["event"] != "tool_call" and not record.data["rewritten"] and record.data["decision"] == "allow"


def _why(record: LogRecord) -> str:
    rules = record.data.get("rules")
    named = f" by {', '.join(map(str, rules))}" if isinstance(rules, list) and rules else ""
    if reason := record.data.get("reason"):
        return f"{reason}{named}"
    findings = record.data.get("findings")
    if record.data["rewritten"] and isinstance(findings, list):
        kinds = dict.fromkeys(str(item.get("type")) for item in findings if isinstance(item, dict))
        return "text removed: " + ", ".join(kinds)
    return "permitted"


def _origin_table(decision: Decision, call: ToolCall) -> Group:
    """Where each value of a refused call came from, the sentence included: for the person, never for the model."""
    table = Table()
    for name in ("argument", "value", "origin", "source", "sentence"):
        table.add_column(name, overflow="fold")
    rows = [origin for origin in decision.origins if origin.letter is not Letter.FREE]
    for origin in rows[:MAX_ROWS]:
        style = "" if origin.effect is Effect.ALLOW else "red"
        letter = f"{origin.letter.name}: {origin.meaning}"
        cells = (origin.argument, _short(origin.value), letter, origin.source, _short(origin.excerpt))
        table.add_row(*(Text(_escaped(cell), style=style) for cell in cells))
    return Group(
        Text(f"\nRefused: {call.tool} ({decision.reason}). Where the values came from that decide what it does:"), table
    )


def _short(text: str, limit: int = 120) -> str:
    text = " ".join(text.split())
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def _escaped(text: str) -> str:
    """Text of strangers must not move the reader's cursor."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _outcome(outcome: Outcome) -> dict[str, object]:
    harm = [{"kind": harm.kind, "detail": harm.detail} for harm in outcome.harm]
    told: dict[str, object] = {"harm": harm, "honest_done": outcome.honest_done, "mails": outcome.mails}
    return told | {"tried": dict(outcome.tried), "ended": outcome.ended}


def _refusal(decision: Decision) -> dict[str, object]:
    return {
        "tool": decision.event.tool if isinstance(decision.event, ToolCall) else None,
        "reason": decision.reason,
        "origins": [
            {
                "argument": origin.argument,
                "value": origin.value,
                "origin": origin.letter.name,
                "meaning": origin.meaning,
                "effect": origin.effect.value,
                "source": origin.source,
                "sentence": origin.excerpt,
            }
            for origin in decision.origins
        ],
    }
