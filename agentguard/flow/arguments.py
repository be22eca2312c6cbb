"""What the arguments of a call choose: every value in them, at any depth, and those that leave the choice open."""

from __future__ import annotations

from collections.abc import Iterator

from agentguard.event import KEY, Json, Path, ToolCall
from agentguard.flow.forms import looks_like_field
from agentguard.flow.labels import ToolLabels
from agentguard.flow.vocabulary import split_name

__all__ = ["unchosen", "values"]

# Words in the names of fields. A person, channel or account with such a name is judged by the value beside it.
_FIELD_WORDS = frozenset({
    "name", "email", "mail", "address", "addresses", "id", "ids", "type", "kind", "role", "permission", "level",
    "access", "value", "values", "user", "users", "person", "people", "member", "members", "recipient", "recipients",
    "to", "cc", "bcc", "channel", "account", "iban", "number", "path", "paths", "file", "files", "url", "link",
    "format", "list", "items", "target", "targets", "phone", "first", "last", "display", "label", "title", "key",
    "data", "mode", "status",
})  # fmt: skip
# Sinks that say what an action is done to, and the effects where none of it may mean all of it.
_CHOICES = frozenset({"recipient", "person", "channel", "account", "id", "path", "url", "attachment", "command"})
_CRITICAL_EFFECTS = frozenset({"destructive", "money", "access"})
# Those that say whom.
_PEOPLE = frozenset({"recipient", "person", "channel", "account"})


def values(path: Path, node: Json, kind: str | None) -> Iterator[tuple[Path, str, bool]]:
    """Every value at any depth, dictionary keys and numbers included; True in third place marks a yes-or-no."""
    if isinstance(node, dict):
        for name, item in node.items():
            # A key named like a field of a record is structure; any other chooses. So does one without a value.
            if not _is_structure(name, kind) or item is None or item in ([], {}, ""):
                yield (*path, name, KEY), name, False
            yield from values((*path, name), item, kind)
    elif isinstance(node, list):
        for index, item in enumerate(node):
            yield from values((*path, index), item, kind)
    elif isinstance(node, bool):
        yield path, str(node).lower(), True
    elif node is not None:
        yield path, node if isinstance(node, str) else repr(node), False


def unchosen(labels: ToolLabels, call: ToolCall, traced: set[str]) -> Iterator[str]:
    """The arguments that should choose a target and hold none, which to many tools means all there is.

    No file to delete, nobody to share with. ``traced`` are the arguments that hold a value.
    """
    if labels.side_effect not in _CRITICAL_EFFECTS:
        return
    choosing = {name: labels.sink_of(name) for name in labels.args if labels.sink_of(name) in _CHOICES}
    for kinds in (_CHOICES, _PEOPLE) if labels.side_effect == "access" else (_CHOICES,):
        names = [name for name, kind in choosing.items() if kind in kinds]
        given = names if labels.side_effect != "money" else [name for name in names if name in call.args]
        if given and traced.isdisjoint(names):
            yield next((name for name in names if name in call.args), names[0])
            return
    for name, node in call.args.items():
        # None is mostly the default, and leaves a thing as it is.
        if name in choosing and node is not None and name not in traced:
            yield name


def _is_structure(name: str, kind: str | None) -> bool:
    """Whether a key says what its value is. Where a target is chosen, only a common name of a field does."""
    if kind in _CHOICES:
        return looks_like_field(name) and not _FIELD_WORDS.isdisjoint(split_name(name))
    return looks_like_field(name)
