"""What a policy that loads still says that its author can hardly mean: rules that never apply, names nobody uses.

Nothing here changes what is permitted. Each remark has a stable code and the place of the row it speaks of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from agentguard.policy.compiled import ArgRule, ToolRule
from agentguard.policy.document import Document, Step, read
from agentguard.policy.glob import Globs, fold
from agentguard.policy.policy import Policy
from agentguard.policy.review import marks
from agentguard.policy.schema import ArgRow, PolicyFile, RoleRow
from agentguard.policy.toolspec import ToolSpec
from agentguard.policy.validation import validated

__all__ = ["CODES", "Remark", "check", "place_of"]

# Every code, and what it says; docs name them too.
CODES = {
    "role-unused": "no agent holds the role and no role inherits it",
    "role-unheld": "a role is inherited, but by no role that an agent holds",
    "allow-denied": "a role denies every tool that one of its entries permits",
    "allow-covered": "an entry permits only what another entry of the role permits already",
    "tool-unpermitted": "no role permits the tool",
    "tool-without-row": "a tool of the application is not in the policy, so it cannot run",
    "tool-not-given": "a row for a tool that the application does not have",
    "argument-without-row": "the tool takes an argument that has no row",
    "argument-not-taken": "a row for an argument that the tool does not take",
    "free-text-not-returned": "free_text names a field that the result does not have: the one meant stays trusted",
    "argument-without-label": "a row of an acting tool does not say who may set the argument",
    "sink-without-sources": "a sink does not say who may set it",
    "source-out-of-reach": "a source that no agent with this tool may call",
    "deny-covers-allow": "an argument's deny refuses what its allow permits",
    "value-unreachable": "a value of one_of that another constraint of the row refuses",
    "operator-unused": "an operator for a class that is redacted nowhere",
    "restore-without-token": "an argument restores a class that no model is shown a pseudonym of",
    "restore-uncleared": "a restored value may leave by the tool, and its row clears nobody to get it",
    "encrypted-for-good": "a class is encrypted, and no argument restores it",
    "shadow-mode": "decisions are recorded and not enforced",
    "unsafe-open": "what cannot be recorded happens all the same",
    "review-marks": "guesses of a draft that nobody has confirmed",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One thing to look at. Lines and columns count from 1; None where no place exists."""

    code: str
    message: str
    line: int | None = None
    column: int | None = None


def check(text: str, *, path: str | None = None, tools: Sequence[ToolSpec] | None = None) -> list[Remark]:
    """Every remark on a policy, in the order of its lines; ``tools`` are those the application really has.

    Raises:
        PolicyError: it does not load.
    """
    policy = Policy.parse(text, path=path)
    document = read(text, path=path)
    file = validated(document, PolicyFile, noun="a policy")
    checker = _Checker(policy, file, document)
    found = [
        *checker.roles(), *checker.tools(), *checker.redaction(), *checker.modes(), *checker.given(tools),
    ]  # fmt: skip
    if left := marks(text):
        first = left[0][0]
        found.append(Remark("review-marks", f"{len(left)} REVIEW marks are left, the first on line {first}", first, 1))
    return sorted(found, key=lambda remark: (remark.line or 0, remark.column or 0, remark.code))


def place_of(document: Document, steps: tuple[Step, ...]) -> tuple[int | None, int | None]:
    """Line and column of the key or list item at ``steps``, else of the nearest part around it."""
    while steps:
        place = document.keys.get(steps) or document.values.get(steps)
        if place is not None:
            return place.line, place.column
        steps = steps[:-1]
    return None, None


class _Checker:
    """Reads one policy in its three forms: compiled, as rows, and as places."""

    def __init__(self, policy: Policy, file: PolicyFile, document: Document) -> None:
        self._policy = policy
        self._file = file
        self._document = document
        held = {role for agent in policy.agents.values() for role in agent.roles}
        self._held = {name for role in held for name in self._lineage(role)}

    # -- roles -------------------------------------------------------------------------------------------------------

    def roles(self) -> Iterator[Remark]:
        """Roles nobody has, and entries that never decide."""
        inherited = {parent for row in self._file.roles.values() for parent in row.inherits}
        for name, row in self._file.roles.items():
            steps = ("roles", name)
            if name not in self._held:
                code, why = "role-unused", "no agent holds it and no role inherits it"
                if name in inherited:
                    code, why = "role-unheld", "no agent holds a role that inherits it"
                yield self._remark(code, steps, f"role {name}: {why}; only the credential of a user could carry it")
            yield from self._entries(name, row)

    def _entries(self, name: str, row: RoleRow) -> Iterator[Remark]:
        denied = self._matched([glob for role in self._lineage(name) for glob in self._file.roles[role].deny])
        matched = [self._matched([glob]) for glob in row.tools]
        for index, glob in enumerate(row.tools):
            steps = ("roles", name, "tools", index)
            # Of two entries that match alike, the later one is the one too many.
            others = [*matched[:index], *(each for each in matched[index + 1 :] if each > matched[index])]
            if matched[index] <= denied:
                yield self._remark("allow-denied", steps, f"role {name}: every tool that {glob!r} permits is denied")
            elif matched[index] <= set().union(*others):
                yield self._remark("allow-covered", steps, f"role {name}: {glob!r} adds nothing to the other entries")

    def _lineage(self, name: str) -> list[str]:
        """The role and all it inherits from; the compiler has refused circles."""
        found: list[str] = []
        pending = [name]
        while pending:
            role = pending.pop()
            if role not in found and role in self._policy.roles:
                found.append(role)
                pending.extend(self._policy.roles[role].inherits)
        return found

    def _matched(self, globs: Iterable[str]) -> set[str]:
        wanted = Globs.names(globs)
        return {tool for tool in self._policy.tools if wanted.match(tool)}

    def _permitted_by(self, role: str) -> set[str]:
        lineage = [self._policy.roles[name] for name in self._lineage(role)]
        allowed = self._matched([glob for each in lineage for glob in each.tools])
        return allowed - self._matched([glob for each in lineage for glob in each.deny])

    # -- tools -------------------------------------------------------------------------------------------------------

    def tools(self) -> Iterator[Remark]:
        """Tools nobody may call, and rows of arguments that never decide or do not say who may decide."""
        permitted = [self._permitted_by(role) for role in self._policy.roles]
        everything = set().union(*permitted)
        for name, rule in self._policy.tools.items():
            if name not in everything:
                yield self._remark("tool-unpermitted", ("tools", name), f"tool {name}: no role permits it")
            # Whoever may call the tool must be able to call its sources, or they never set anything.
            reach = set().union(*(tools for tools in permitted if name in tools))
            for arg, row in self._file.tools[name].args.items():
                yield from self._argument(rule, rule.args[arg], row, reach)

    def _argument(self, tool: ToolRule, rule: ArgRule, row: ArgRow, reach: set[str]) -> Iterator[Remark]:
        steps = ("tools", tool.name, "args", rule.name)
        where = f"tool {tool.name}, argument {rule.name}"
        acts = tool.side_effect != "read" or tool.egress
        if acts and row.sink is None and row.sources is None and not row.content and row.one_of is None:
            message = f"{where}: no sink, sources, content or one_of; only the user's words may set it"
            yield self._remark("argument-without-label", steps, message)
        if row.sink is not None and row.sources is None:
            message = f"{where}: the sink names no sources; only the user's words may set it; write sources: [user]"
            yield self._remark("sink-without-sources", steps, message)
        for index, source in enumerate(row.sources or ()):
            if source != "user" and reach and source not in reach:
                message = f"{where}: no role that permits {tool.name} permits its source {source}"
                yield self._remark("source-out-of-reach", (*steps, "sources", index), message)
        yield from self._covered(steps, where, row)
        yield from self._unreachable(steps, where, rule, row)

    def _covered(self, steps: tuple[Step, ...], where: str, row: ArgRow) -> Iterator[Remark]:
        # A ? of a deny would match the * of an allow, which stands for more than one character.
        deny = Globs.deny([glob for glob in row.deny if "?" not in glob])
        for index, glob in enumerate(row.allow or ()):
            if row.deny and deny.match(fold(glob)):
                message = f"{where}: deny refuses everything that allow {glob!r} permits"
                yield self._remark("deny-covers-allow", (*steps, "allow", index), message)

    def _unreachable(self, steps: tuple[Step, ...], where: str, rule: ArgRule, row: ArgRow) -> Iterator[Remark]:
        for index, value in enumerate(row.one_of or ()):
            for constraint in rule.constraints:
                if constraint.rule.endswith(".one_of") or constraint.check.refuses(value) is None:
                    continue
                key = constraint.rule.rpartition(".")[2]
                message = f"{where}: {key} refuses {ascii(value)[:60]}, a value of one_of"
                yield self._remark("value-unreachable", (*steps, "one_of", index), message)
                break

    # -- redaction ---------------------------------------------------------------------------------------------------

    def redaction(self) -> Iterator[Remark]:
        """Operators that never write anything, and values that can never come back."""
        rows = [(tool, arg) for tool in self._policy.tools.values() for arg in tool.args.values()]
        shown = {*self._policy.input.redact, *self._policy.output.redact}
        for name, rule in self._policy.redaction.items():
            if rule.operator == "tag" and not rule.keep:
                continue
            if name not in shown and not any(name in arg.redact for _, arg in rows):
                message = f"redaction.{name}: {name} is redacted nowhere, so {rule.operator} writes nothing"
                yield self._remark("operator-unused", ("redaction", name), message)
            elif rule.operator == "encrypt" and not any(name in arg.restore for _, arg in rows):
                message = f"redaction.{name}: no argument restores {name}; hash or tag is shorter"
                yield self._remark("encrypted-for-good", ("redaction", name), message)
        for tool, arg in rows:
            yield from self._restored(tool, arg, shown)

    def _restored(self, tool: ToolRule, arg: ArgRule, shown: set[str]) -> Iterator[Remark]:
        steps = ("tools", tool.name, "args", arg.name, "restore")
        where = f"tool {tool.name}, argument {arg.name}"
        for name in sorted(arg.restore):
            if name not in shown:
                message = f"{where}: models read {name} in the clear, so there is nothing to restore"
                yield self._remark("restore-without-token", steps, message)
            elif (tool.side_effect == "send" or tool.egress) and name not in tool.clears:
                message = f"{where}: a restored value leaves by this tool, and clears names nobody for {name}"
                yield self._remark("restore-uncleared", steps, message)

    # -- the whole ---------------------------------------------------------------------------------------------------

    def modes(self) -> Iterator[Remark]:
        """What is not enforced."""
        if self._policy.mode == "shadow":
            yield self._remark("shadow-mode", ("mode",), "the whole policy is in shadow mode: nothing is enforced")
        for kind, rules in (("roles", self._policy.roles), ("tools", self._policy.tools)):
            for name, rule in rules.items():
                if rule.mode == "shadow":
                    message = f"{kind.removesuffix('s')} {name} is in shadow mode: what it refuses happens"
                    yield self._remark("shadow-mode", (kind, name, "mode"), message)
        if self._policy.audit.fail == "unsafe-open":
            message = "audit.fail is unsafe-open: an action that cannot be recorded happens all the same"
            yield self._remark("unsafe-open", ("audit", "fail"), message)

    def given(self, specs: Sequence[ToolSpec] | None) -> Iterator[Remark]:
        """The policy against the tools that the application really has."""
        if specs is None:
            return
        known = {spec.name: spec for spec in specs}
        for name, spec in known.items():
            if name not in self._policy.tools:
                yield self._remark(
                    "tool-without-row", ("tools",), f"tool {ascii(name)[:60]} has no row, so it cannot run"
                )
            else:
                yield from self._parameters(self._policy.tools[name], spec)
                yield from self._free_text(self._policy.tools[name], spec)
        for name in self._policy.tools:
            if name not in known:
                yield self._remark("tool-not-given", ("tools", name), f"tool {name} is not among the tools given")

    def _parameters(self, rule: ToolRule, spec: ToolSpec) -> Iterator[Remark]:
        taken = {parameter.name for parameter in spec.parameters}
        acts = rule.side_effect != "read" or rule.egress
        for parameter in sorted(taken - set(rule.args)):
            if acts or rule.extra_args == "deny":
                effect = "it is refused" if rule.extra_args == "deny" else "only the user's words may set it"
                message = f"tool {rule.name}: argument {ascii(parameter)[:60]} has no row: {effect}"
                yield self._remark("argument-without-row", ("tools", rule.name), message)
        for name in rule.args:
            if name not in taken and not spec.open:
                steps = ("tools", rule.name, "args", name)
                yield self._remark("argument-not-taken", steps, f"tool {rule.name} takes no argument {name}")

    def _free_text(self, rule: ToolRule, spec: ToolSpec) -> Iterator[Remark]:
        """A misspelt field leaves the real one trusted, and says nothing of it."""
        if not spec.returns or any(kind in (None, "object", "array") for kind in spec.returns.values()):
            # What is nested in a field without a type of its own may have any name.
            return
        fields = {name.casefold(): name for name in spec.returns}
        for name in sorted(rule.free_text):
            if fields.keys().isdisjoint(part.casefold() for part in name.split(".")):
                near = get_close_matches(name.casefold(), fields, n=1)
                hint = f"; {ascii(fields[near[0]])[:60]} is meant, perhaps" if near else ""
                message = f"tool {rule.name}: its result has no field {ascii(name)[:60]}{hint}"
                yield self._remark("free-text-not-returned", ("tools", rule.name, "free_text"), message)

    def _remark(self, code: str, steps: tuple[Step, ...], message: str) -> Remark:
        return Remark(code, message, *place_of(self._document, steps))
