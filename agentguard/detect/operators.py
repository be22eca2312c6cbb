"""Which operator writes what stands in a found value's place: one per class, in the scope of one run.

A scope is a session or a tenant. Its key is derived from the home's key and the scope's name, so that tokens and hashes
of one scope say nothing in another, and every process of the home has the same ones.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, get_args

from agentguard.conversation import Conversation
from agentguard.detect.pseudonym import Token, Tokens, shaped
from agentguard.detect.recognizers.registry import CLASSES
from agentguard.detect.redaction import UNSCANNED, hint, keyed_hash, mask, remove, tag
from agentguard.errors import ConfigError
from agentguard.event import Event
from agentguard.keys.envelope import derive

__all__ = ["KEYED", "REVERSIBLE", "OperatorName", "OperatorRule", "Operators", "ScopeName", "Scoped"]

OperatorName: TypeAlias = Literal["tag", "mask", "hash", "pseudonym", "encrypt", "remove"]
ScopeName: TypeAlias = Literal["session", "tenant"]
# Operators that need a scope's key, and those of them whose tokens open again.
KEYED = frozenset({"hash", "pseudonym", "encrypt"})
REVERSIBLE = frozenset({"pseudonym", "encrypt"})
# Scopes whose keys are kept; one more is derived anew, in some microseconds.
MAX_SCOPES = 4096


@dataclass(frozen=True, slots=True)
class OperatorRule:
    """How one class is written. ``keep`` leaves a card's last four digits and an address's domain to be read.

    Raises:
        ConfigError: an unknown operator or scope.
    """

    operator: OperatorName = "tag"
    scope: ScopeName = "session"
    keep: bool = False

    def __post_init__(self) -> None:
        for value, kind in ((self.operator, OperatorName), (self.scope, ScopeName)):
            if value not in get_args(kind):
                raise ConfigError(f"got {value!r}; use one of {', '.join(get_args(kind))}")


class Operators:
    """The operators of a policy. Thread-safe.

    Args:
        rules: by class, ``secret`` and ``pii``; ``tag`` where there is none.
        key: gives the home's secret, 32 bytes or more; asked for when a rule needs one. Without it a random one is
            used: tokens then open in this process only.

    Raises:
        ConfigError: an unknown class.
    """

    def __init__(
        self, rules: Mapping[str, OperatorRule] | None = None, key: Callable[[], bytes] = lambda: os.urandom(32)
    ) -> None:
        self._rules = dict(rules or {})
        if unknown := set(self._rules) - set(CLASSES):
            raise ConfigError(f"operators for {sorted(unknown)}: use {', '.join(sorted(CLASSES))}")
        self._keyed = any(rule.operator in KEYED for rule in self._rules.values())
        self._key = key() if self._keyed else b""
        self._scopes: OrderedDict[tuple[ScopeName, str], _Scope] = OrderedDict()
        self._lock = threading.Lock()

    def at(self, run: Conversation) -> Scoped:
        """The operators as ``run`` uses them."""
        if not self._keyed:
            return Scoped(self._rules, {})
        names = {rule.scope for rule in self._rules.values() if rule.operator in KEYED}
        return Scoped(self._rules, {name: self._scope(name, run) for name in names})

    def revealed(self, event: Event, run: Conversation) -> Event:
        """The event with the values that its tokens stand for: for checks alone, never for a model or a tool."""
        if not self._keyed:
            return event
        scoped = self.at(run)
        texts = {leaf.path: scoped.opened(leaf.text) for leaf in event.leaves() if shaped(leaf.text)}
        return event.with_texts(texts) if texts else event

    def _scope(self, name: ScopeName, run: Conversation) -> _Scope:
        place = (name, scope_id(name, run))
        with self._lock:
            scope = self._scopes.get(place)
            if scope is None:
                info = f"agentguard redaction 1 {name} {place[1]}".encode("utf-8", "surrogatepass")
                scope = self._scopes[place] = _Scope(place, derive(self._key, salt=None, info=info))
                while len(self._scopes) > MAX_SCOPES:
                    self._scopes.popitem(last=False)
            return scope


class _Scope:
    def __init__(self, place: tuple[ScopeName, str], key: bytes) -> None:
        self.place = place
        self.tokens = Tokens(key)
        self.hash = keyed_hash(derive(key, salt=None, info=b"agentguard hash 1"))


class Scoped:
    """An ``Operator`` for the runs of one session and tenant. Immutable and thread-safe."""

    def __init__(self, rules: Mapping[str, OperatorRule], scopes: Mapping[ScopeName, _Scope]) -> None:
        self._rules = rules
        self._scopes = scopes
        # What tells the outcomes of one scope from those of another.
        self.scope = tuple(scope.place for _, scope in sorted(scopes.items()))

    def __call__(self, type_: str, value: str) -> str:
        """What stands in the place of ``value``."""
        rule = self._rules.get(type_.partition(".")[0])
        if rule is None or type_ == UNSCANNED:
            return tag(type_, value)
        shown = hint(type_, value) if rule.keep else ""
        if rule.operator == "mask":
            return mask(type_, value) + shown
        if rule.operator == "remove":
            return remove(type_, value)
        if rule.operator == "tag":
            return tag(type_, value, shown)
        scope = self._scopes[rule.scope]
        if rule.operator == "hash":
            return scope.hash(type_, value)
        make = scope.tokens.pseudonym if rule.operator == "pseudonym" else scope.tokens.encrypted
        return make(type_, value, shown) or tag(type_, value, shown)

    def tokens(self, text: str) -> tuple[Token, ...]:
        """The tokens in ``text`` that open in one of these scopes, in order."""
        found = [token for scope in self._scopes.values() for token in scope.tokens.find(text)]
        return tuple(sorted(found, key=lambda token: token.start))

    def spans(self, text: str) -> tuple[tuple[int, int], ...]:
        """Where these tokens stand: nothing inside is redacted again."""
        return tuple((token.start, token.end) for token in self.tokens(text))

    def opened(self, text: str, classes: frozenset[str] = frozenset(CLASSES)) -> str:
        """``text`` with the values of its tokens of ``classes``."""
        parts: list[str] = []
        last = 0
        for token in self.tokens(text):
            if token.kind in classes:
                parts += (text[last : token.start], token.value)
                last = token.end
        return "".join((*parts, text[last:]))


def scope_id(name: ScopeName, run: Conversation) -> str:
    """The scope that ``run`` belongs to, the same in every process: sub-agents share that of the outermost run."""
    while run.parent is not None:
        run = run.parent
    who = run.principal
    if name == "tenant":
        return json.dumps([who.tenant])
    user = who.on_behalf_of.id if who.on_behalf_of is not None else who.id if who.kind == "user" else None
    # A framework's thread and a run's id may be alike, so each says what it is.
    kind, session = (
        ("session", who.session) if who.session else ("thread", run.thread) if run.thread else ("run", run.id)
    )
    return json.dumps([who.tenant, user, kind, session])
