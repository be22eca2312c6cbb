"""A first policy drafted from tool definitions, every guess marked for review and made on the strict side.

Strict means: no result is trusted, so only the user's own words may choose where an action goes; arguments without a
row are refused; a tool of which nothing tells what it does needs a person each time. What would ease that is named in
the review marks, for a person to decide.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias, TypeGuard

from agentguard.policy.glob import glob_problem, is_glob
from agentguard.policy.guess import (
    Guess,
    effect_of,
    is_body,
    leaves_machine,
    reads_inbox,
    returns_prose,
    sink_of,
)
from agentguard.policy.review import REVIEW, reviewed
from agentguard.policy.toolspec import Parameter, ToolSpec
from agentguard.policy.yaml_text import comment, holds, listed, scalar

__all__ = ["can_stand", "draft"]

# Longer names are no names of a policy.
MAX_NAME = 128
# A body longer than this is rarely honest; the starter policy says the same.
BODY_MAX = 20_000
SHORT_MAX = 200
_SHORT = frozenset({"subject", "title", "caption"})
MAX_CHOICES = 50

_Scalar: TypeAlias = str | int | float | bool
_KINDS: dict[str, tuple[type, ...]] = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
_APPROVAL = {"money": "when-untrusted", "access": "when-untrusted"}


def draft(specs: Iterable[ToolSpec], *, agent: str, mode: Literal["enforce", "shadow"] = "enforce") -> str:
    """The text of a policy for ``agent`` with a row for each tool. It loads as it stands.

    Tools and parameters with names that no policy can hold are left out, which refuses them, and named in comments.
    """
    tools = list(specs)
    named = [spec for spec in tools if _can_be_permitted(spec.name)]
    lines = [
        f"# AgentGuard policy, drafted from {len(tools)} tool definitions. Each {REVIEW} marks a guess, made on the",
        "# strict side: confirm or change it, then delete the mark. `agentguard policy check` counts those left.",
        "version: 1",
        "",
        "# enforce: decide and hold to it. shadow: decide and record, change nothing; the safe way to adopt.",
        f"mode: {mode}",
        "",
        "roles:",
        f"  {scalar(agent)}:",
        "    permissions: [read_data, execute_agent]",
        reviewed("    tools:" if named else "    tools: []", "take away what this agent does not need"),
        *(f"      - {scalar(spec.name)}" for spec in named),
        "",
        "agents:",
        f"  {scalar(agent)}: {{roles: [{scalar(agent)}]}}",
        "",
        "tools:" if named else "tools: {}",
    ]
    sources = _address_books(named)
    for spec in named:
        lines.extend(_tool(spec, sources))
    for spec in tools:
        if not _can_be_permitted(spec.name):
            lines.append(f"  # {REVIEW}: no policy can hold a tool named {comment(repr(spec.name))}; rename it")
    return "\n".join(lines) + "\n"


def can_stand(name: str) -> bool:
    """Whether a policy can hold the name."""
    return 0 < len(name) <= MAX_NAME and name == name.strip() and name.isprintable() and not is_glob(name)


def _can_be_permitted(name: str) -> bool:
    """Whether a role can name the tool: brackets and the like are refused there as globs of another dialect."""
    return can_stand(name) and glob_problem(name) is None


def _tool(spec: ToolSpec, sources: dict[str, list[str]]) -> Iterator[str]:
    effect = effect_of(spec)
    yield f"  {scalar(spec.name)}:"
    if about := comment(spec.description.strip().partition("\n")[0]):
        yield f"    # {about}"
    yield reviewed(f"    side_effect: {effect.value}", effect.by)
    yield from _output(spec)
    egress = None
    if effect.value == "read":
        egress = leaves_machine(spec.name, spec.description, [each.name for each in spec.parameters])
        if egress:
            yield reviewed("    egress: true", f"its arguments seem to leave the machine ({comment(egress)})")
    approval = _APPROVAL.get(effect.value) if effect.sure else "always"
    if approval:
        why = "a person confirms each call until somebody knows what it does" if not effect.sure else "for its effect"
        yield reviewed(f"    approval: {approval}", why)
    yield from _arguments(spec, effect, sources, acts=effect.value != "read" or egress is not None)


def _output(spec: ToolSpec) -> Iterator[str]:
    """Untrusted whatever it seems; what a closer look could find stands in the mark."""
    if not spec.returns:
        yield reviewed("    output: untrusted", "trusted only if you alone write what it returns; mixed for records")
        return
    prose = [name for name in returns_prose(spec) if can_stand(name)]
    hint = f"mixed with free_text: {listed(prose)}" if prose else "mixed"
    inbox = " and inbound: true" if reads_inbox(spec.name) else ""
    yield reviewed("    output: untrusted", f"it returns records: perhaps {hint}{inbox}")


def _arguments(spec: ToolSpec, effect: Guess, sources: dict[str, list[str]], *, acts: bool) -> Iterator[str]:
    rows = [each for each in spec.parameters if can_stand(each.name)]
    if rows:
        yield "    args:"
    for parameter in rows:
        yield from _argument(parameter, effect, sources, acts=acts)
    for parameter in spec.parameters:
        if not can_stand(parameter.name):
            yield f"    # {REVIEW}: no policy can hold an argument named {comment(repr(parameter.name))}; rename it"
    if spec.open:
        yield reviewed("    extra_args: allow", "it takes arguments of any name; only the user's words may set those")
    else:
        yield "    extra_args: deny"


def _argument(parameter: Parameter, effect: Guess, sources: dict[str, list[str]], *, acts: bool) -> Iterator[str]:
    keys, why = _labels(parameter, effect, acts=acts)
    if parameter.type:
        keys.append(f"type: {parameter.type}")
    if parameter.required:
        keys.append("required: true")
    sink = next((key.removeprefix("sink: ") for key in keys if key.startswith("sink: ")), None)
    # A lookup may name itself as the origin of what it is given; it never vouches for its own arguments.
    lenders = sources.get(sink or "", [])
    if sink and lenders:
        why += f"; once its output is trusted or mixed, sources may name {comment(', '.join(lenders))}"
    row = f"      {scalar(parameter.name)}: {{{', '.join(keys)}}}"
    yield reviewed(row, why) if why else row


def _labels(parameter: Parameter, effect: Guess, *, acts: bool) -> tuple[list[str], str]:
    """The keys that say who may set it, and by what that was guessed."""
    choices = _choices(parameter)
    if choices:
        return [f"one_of: {listed(choices)}"], "the model may choose any of these" if acts else ""
    sink = sink_of(parameter)
    if not acts:
        kept = sink is not None and sink.value in ("command", "secret")
        return ([f"sink: {sink.value}"], sink.by) if kept and sink else ([], "")
    if sink is not None:
        asked = "" if _empty(parameter.default) else "; its default will be asked about"
        return [f"sink: {sink.value}", "sources: [user]"], sink.by + asked
    if is_body(parameter):
        size = SHORT_MAX if parameter.name.lower() in _SHORT else BODY_MAX
        return ["content: true", f"max_length: {size}", "redact: [secret]"], "a body of text that the model writes"
    if effect.value == "read" and parameter.type == "string":
        keys = ["content: true", f"max_length: {SHORT_MAX}", "redact: [secret, pii]"]
        return keys, "words that the model chooses and that leave the machine"
    if not _empty(parameter.default) and _fits(parameter.default, parameter.type):
        return [f"one_of: {listed([parameter.default])}"], "its default alone; add what else may be chosen"
    return ["sink: value", "sources: [user]"], "nothing tells what it selects"


def _choices(parameter: Parameter) -> list[_Scalar]:
    """The values of an enumeration; none when one of them cannot stand in the row."""
    choices = [choice for choice in parameter.choices if choice is not None]
    kept = [choice for choice in choices if _fits(choice, parameter.type)]
    return kept if len(kept) == len(choices) <= MAX_CHOICES else []


def _fits(value: object, kind: str | None) -> TypeGuard[_Scalar]:
    """Whether the value can be written and is of the row's type; True is no number here, though Python says so."""
    if not holds(value) or kind in ("array", "object"):
        return False
    if isinstance(value, bool):
        return kind in (None, "boolean")
    return isinstance(value, _KINDS.get(kind or "", (str, int, float)))


def _empty(default: object) -> bool:
    """Whether a default sets nothing: such an argument is not judged."""
    return default is None or (isinstance(default, str) and not default.strip())


def _address_books(specs: list[ToolSpec]) -> dict[str, list[str]]:
    """Which reading tools return a field of each sink's kind, as an ``email`` is for a recipient."""
    found: dict[str, list[str]] = {}
    for spec in specs:
        if effect_of(spec).value != "read":
            continue
        for name in spec.returns:
            sink = sink_of(Parameter(name))
            if sink is not None and spec.name not in found.setdefault(sink.value, []):
                found[sink.value].append(spec.name)
    return found
