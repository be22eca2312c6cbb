"""``agentguard approvals``: the calls that wait for a person, and the answers. Each answer is recorded first."""

from __future__ import annotations

import os
import pwd
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from agentguard.access.approval import escaped
from agentguard.access.queue import Answer, ApprovalQueue, Question
from agentguard.accounts import SecureSessionManager
from agentguard.assembly import approval_queue
from agentguard.audit import AuditEventType, AuditLog, EventLogger
from agentguard.cli.option import HomeOption, JsonOption
from agentguard.cli.output import print_json, print_table, shown
from agentguard.errors import ConfigError
from agentguard.event import Principal
from agentguard.policy import Policy
from agentguard.store import Home

__all__ = ["approvals"]

approvals = typer.Typer(help="Calls that wait for a person's yes or no.", no_args_is_help=True)

QuestionArgument: TypeAlias = Annotated[
    str, typer.Argument(metavar="QUESTION", help="Its digest, or the first 8 or more characters of it.")
]
PolicyOption: TypeAlias = Annotated[Path, typer.Option("--policy", help="The policy that defines the roles.")]

# A token stands on no command line: others could read it there.
SESSION_VARIABLE = "AGENTGUARD_SESSION"

_WHY_NOT = {
    "approval-unknown": "no single question begins so; `agentguard approvals list` shows them",
    "approval-expired": "it came too late: the question has expired",
    "approval-answered": "it was answered before",
    "approval-own": "whoever asks may not approve it; somebody else must",
    "approval-tenant": "it belongs to another tenant than your session",
    "approval-role": "you do not hold the role it asks for; `agentguard roles list` shows who does",
}


@approvals.command("list")
def list_questions(
    *,
    ended: Annotated[
        bool, typer.Option("--all", help="Also what was refused, used, or expired in the last day.")
    ] = False,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Show the calls that wait, oldest first."""
    now = time.time()
    with _opened(home, policy) as (queue, _):
        found, unreadable = queue.questions(ended=ended)
    if as_json:
        for each in found:
            print_json(_json(each, now))
    elif found:
        rows = [
            [each.digest[:16], each.state(now), shown(each.request.tool), _whom(each), _moment(each.request.expires_at)]
            for each in found
        ]
        print_table(["question", "state", "tool", "who asks", "expires"], rows)
    else:
        typer.echo("no question waits", err=True)
    if unreadable:
        typer.echo(f"{unreadable} questions do not open under the home's key: they cannot be answered", err=True)


@approvals.command()
def show(
    question: QuestionArgument,
    *,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Show one call: the tool, every argument, why it was stopped, where its values stood, who asks for whom."""
    now = time.time()
    with _opened(home, policy) as (queue, _):
        found = queue.find(question)
    if found is None:
        _refuse("approval-unknown")
    elif as_json:
        print_json(_json(found, now))
    else:
        typer.echo(_text(found, now))


@approvals.command()
def approve(
    question: QuestionArgument,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again: you have read it.")] = False,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Permit one call, once, exactly as `show` shows it. Exits with 1 when the yes is not taken."""
    _answer(question, home, policy, approved=True, sure=yes, as_json=as_json)


@approvals.command()
def deny(
    question: QuestionArgument,
    *,
    home: HomeOption = Path(".agentguard"),
    policy: PolicyOption = Path("agentguard.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Refuse one call. The same call in the same run is refused until the question expires."""
    _answer(question, home, policy, approved=False, sure=True, as_json=as_json)


def _answer(question: str, home: Path, policy: Path, *, approved: bool, sure: bool, as_json: bool) -> None:
    with _opened(home, policy) as (queue, log):
        found = queue.find(question)
        if found is None:
            _refuse("approval-unknown")
            return
        if not sure:
            _confirm(found)
        by = _operator(home, log)
        refusal = queue.answer(found.digest, by=by, approved=approved, record=_Recorder(log))
    if refusal is not None:
        _refuse(refusal)
    word = "approved" if approved else "denied"
    if as_json:
        print_json({"question": found.digest, "answer": word, "by": by.id})
    typer.echo(f"{word} by {shown(by.id)}: {shown(found.request.tool)}, question {found.digest[:16]}", err=True)


def _confirm(question: Question) -> None:
    if not sys.stdin.isatty():
        raise ConfigError(
            "nobody is at a terminal to confirm; read it with `agentguard approvals show`, then add --yes"
        )
    typer.echo(_text(question, time.time()), err=True)
    typer.echo("Run it? Type yes to permit, anything else leaves it open: ", nl=False, err=True)
    if sys.stdin.readline().strip().lower() != "yes":
        raise typer.Exit(1)


class _Recorder:
    """Writes an answer to the audit log before it counts. Digests and names only."""

    def __init__(self, log: AuditLog) -> None:
        self._events = EventLogger(log=log)

    def __call__(self, question: Question, answer: Answer) -> None:
        request = question.request
        details = {
            "action": "approve" if answer.approved else "deny",
            "question": question.digest,
            "tool": request.tool,
            "principal": request.principal.id,
            "run": request.conversation,
            "role": question.terms.role or None,
        }
        self._events.log_event(AuditEventType.PERMISSION_CHANGE, answer.by.id, details)


def _refuse(reason: str) -> None:
    typer.echo(f"agentguard: {reason}: {_WHY_NOT[reason]}", err=True)
    raise typer.Exit(1)


def _text(question: Question, now: float) -> str:
    lines = [question.request.render(), f"  asked {_moment(question.asked_at)}, {question.state(now)}"]
    lines.append(f"  expires {_moment(question.request.expires_at)}")
    if question.terms.role:
        lines.append(f"  whoever approves must hold the role {escaped(question.terms.role)}")
    if question.answer is not None:
        lines.append(f"  answered by {escaped(question.answer.by.id)} {_moment(question.answer.at)}")
    return "\n".join(lines)


def _json(question: Question, now: float) -> dict[str, object]:
    answer = question.answer
    return {
        **question.request.payload,
        "conversation": escaped(question.request.conversation),
        "state": question.state(now),
        "role": question.terms.role or None,
        "asked_at": question.asked_at,
        "answered_by": None if answer is None else answer.by.id,
        "answered_at": None if answer is None else answer.at,
        "used_at": question.used_at,
    }


def _whom(question: Question) -> str:
    asks, behind = question.request.principal, question.request.principal.on_behalf_of
    return shown(asks.id) if behind is None else f"{shown(asks.id)} for {shown(behind.id)}"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@contextmanager
def _opened(home: Path, policy: Path) -> Iterator[tuple[ApprovalQueue, AuditLog]]:
    found = Home.open(home)
    compiled = Policy.from_file(policy)
    with AuditLog.open(found) as log, closing(approval_queue(compiled, found, log)) as queue:
        yield queue, log


def _operator(home: Path, log: AuditLog) -> Principal:
    """Whoever the session in the environment is of; else who runs this by the system's word, not by ``USER``."""
    token = os.environ.get(SESSION_VARIABLE)
    if token is not None:
        with closing(SecureSessionManager(home=home, log=log, strict=True)) as sessions:
            return sessions.authenticate(token).principal
    try:
        return Principal(pwd.getpwuid(os.getuid()).pw_name, kind="user")
    except KeyError:
        return Principal(f"uid-{os.getuid()}", kind="user")
