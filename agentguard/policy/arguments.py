"""The ``Arguments`` stage: may this tool run with exactly these arguments?

It reads the final arguments (defaults filled, coerced, texts already rewritten) and refuses the first that breaks
a row. What a rule does not name is never guessed: an undeclared tool is a deny; whether an argument without a row
passes is ``extra_args``, and where such an argument may come from is the ``Flow`` stage's question.
"""

from __future__ import annotations

from agentguard.conversation import Conversation
from agentguard.decision import ALLOW, Effect, Finding, Verdict
from agentguard.event import Event, Json, Path, ToolCall
from agentguard.policy.compiled import ArgRule, ToolRule
from agentguard.policy.policy import Policy

__all__ = ["Arguments"]

# Names in messages come from the model; past this length they are no names.
MAX_SHOWN = 64


class Arguments:
    """Checks tool calls against the policy's rows.

    A null counts as an argument left out: it passes every constraint but ``required``.

    Args:
        policy: the compiled policy.
    """

    name = "arguments"
    blocking = False

    def __init__(self, policy: Policy) -> None:
        self._tools = policy.tools
        self._path = policy.path or "policy"

    def inspect(self, event: Event, run: Conversation, /) -> Verdict:
        """Deny ``tool-not-in-policy`` or ``argument-not-permitted``; ask ``approval-required``; else allow."""
        if not isinstance(event, ToolCall):
            return ALLOW
        tool = self._tools.get(event.tool)
        if tool is None:
            return _unknown_tool(event.tool)
        verdict = self._args(tool, event.args)
        if verdict is None and tool.approval == "always":
            verdict = self._approval(tool)
        return verdict or ALLOW

    def _args(self, tool: ToolRule, args: dict[str, Json]) -> Verdict | None:
        for name in tool.required:
            if args.get(name) is None:
                rule = tool.args[name]
                return self._deny(tool, name, f"tools.{tool.name}.args.{name}.required", rule.line, "is required")
        for name, value in args.items():
            row = tool.args.get(name)
            if row is not None:
                verdict = self._arg(tool, row, value)
                if verdict is not None:
                    return verdict
            elif tool.extra_args == "deny":
                return self._deny(tool, name, f"tools.{tool.name}.extra_args", tool.line, "is not one this tool takes")
        return None

    def _arg(self, tool: ToolRule, rule: ArgRule, value: Json) -> Verdict | None:
        if value is None:
            return None
        for constraint in rule.constraints:
            clause = constraint.check.refuses(value)
            if clause is not None:
                return self._deny(tool, rule.name, constraint.rule, constraint.line, clause)
        return None

    def _approval(self, tool: ToolRule) -> Verdict:
        rule = f"tools.{tool.name}.approval"
        message = f"{tool.name} needs a person's approval each time."
        finding = Finding("access.approval", rule, message=self._located(tool.line, message))
        return Verdict(
            Effect.REQUIRE_APPROVAL,
            findings=(finding,),
            reason="approval-required",
            message=message,
            rules=(rule,),
            shadow=tool.mode == "shadow",
        )

    def _deny(self, tool: ToolRule, arg: str, rule: str, line: int | None, clause: str) -> Verdict:
        message = f"The argument {_shown(arg)} of {tool.name} {clause}."
        path: Path = ("args", arg)
        finding = Finding("policy.argument", rule, path=path, message=self._located(line, message))
        return Verdict(
            Effect.DENY,
            findings=(finding,),
            reason="argument-not-permitted",
            message=message,
            rules=(rule,),
            shadow=tool.mode == "shadow",
        )

    def _located(self, line: int | None, message: str) -> str:
        return f"{self._path}:{line}: {message}" if line else message


def _unknown_tool(tool: str) -> Verdict:
    message = f"The tool {_shown(tool)} is not in the policy."
    return Verdict(
        Effect.DENY,
        findings=(Finding("policy.tool", "tools", message=message),),
        reason="tool-not-in-policy",
        message=message,
        rules=("tools",),
    )


def _shown(name: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in name[:MAX_SHOWN])
