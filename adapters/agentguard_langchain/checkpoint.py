"""``guarded_checkpointer``: what a graph keeps of a run has passed the guard first, in every step and pending write.

A checkpoint holds a run's messages as they came, from the input step on. The guarded saver is an instance of a subclass
of the saver's own class: it reads what it is about to store as the model input it will become when the run goes on,
stores the checked copy, and leaves the live state alone. What is refused is stored as words that say so.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from langgraph.checkpoint.base import BaseCheckpointSaver

from agentguard import AdapterError, Conversation, Denied, Guard, ModelInput
from agentguard.adapter import Passage

from .canary import prove_hooks
from .gate import Gate
from .runs import FRAMEWORK, RUN_CHANNEL, acting
from .storage import Done, Known, Unit, as_one, stored
from .versions import warn_untested

__all__ = ["guarded_checkpointer", "raw_saver", "refuse_raw_saver", "saver_of", "wrap_saver"]

S = TypeVar("S")

_GUARDS = "_agentguard_guards"
# Where LangGraph hands a run's saver to its nodes.
_SAVER = "__pregel_checkpointer"
# Parts of a checkpoint and its metadata that LangGraph fills itself, from names and counters; the channels apart.
_BOOKKEEPING = frozenset(
    {"v", "ts", "id", "channel_values", "channel_versions", "versions_seen", "updated_channels"}
    | {"source", "step", "parents", "run_id", "counters_since_delta_snapshot"}
)


def guarded_checkpointer(saver: S, guard: Guard, *, agent: str | None = None) -> S:
    """A checkpointer like ``saver`` that stores nothing the guard has not passed. Guarding twice is guarding once.

    Both share one storage: what ``saver`` stored before stays as it is. Values without a JSON form (bytes, objects of
    the application) cannot be checked, so a run that keeps them ends with ``Denied``.

    Args:
        saver: any checkpointer.
        guard: decides.
        agent: who acts, for the record; default ``guard.agent``.

    Raises:
        AdapterError: not a checkpointer, or one whose state cannot be shared.
    """
    prove_hooks()
    warn_untested()
    return wrap_saver(saver, guard, agent=agent)


def wrap_saver(saver: S, guard: Guard, *, agent: str | None = None) -> S:
    """As ``guarded_checkpointer``, without the self-test."""
    if not isinstance(saver, BaseCheckpointSaver):
        raise AdapterError(f"got a {type(saver).__name__}; a checkpointer (BaseCheckpointSaver) can be guarded")
    if is_guarded_saver(saver, guard):
        return cast(S, saver)
    guarded = _guarded_class(type(saver), _Store(Gate(guard, agent)))
    twin = guarded.__new__(guarded)
    try:
        # One dictionary for both: connections, locks and storage stay the original's.
        object.__setattr__(twin, "__dict__", saver.__dict__)
    except (AttributeError, TypeError) as error:
        raise AdapterError(f"a {type(saver).__name__} keeps its state where a guarded copy cannot share it") from error
    return cast(S, twin)


def is_guarded_saver(saver: object, guard: Guard) -> bool:
    """Whether this very guard checks what ``saver`` stores."""
    return any(known is guard for known in getattr(type(saver), _GUARDS, ()))


def raw_saver(saver: object, guard: Guard) -> bool:
    """Whether ``saver`` would store what ``guard`` has not passed. True and None stand for a parent's, or none."""
    return isinstance(saver, BaseCheckpointSaver) and not is_guarded_saver(saver, guard)


def refuse_raw_saver(saver: object, guard: Guard) -> None:
    """Refuse a checkpointer that stores words as they came.

    Raises:
        AdapterError: it does.
    """
    if raw_saver(saver, guard):
        raise AdapterError(
            f"this {type(saver).__name__} would store messages as they came, before any check; pass "
            "checkpointer=guarded_checkpointer(saver, guard), or accept it with allow_raw_checkpoints=True"
        )


def saver_of(config: Mapping[str, Any]) -> object:
    """The checkpointer of the run that this configuration belongs to, an inherited one included."""
    return (config.get("configurable") or {}).get(_SAVER)


# -- checking --------------------------------------------------------------------------------------------------------


class _Store:
    """The guard as one saver sees it."""

    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.known = Known()
        self.refused = Known()

    def clean(self, values: list[Any], config: Any) -> list[Any]:
        """``values`` as they may be stored.

        Raises:
            Denied: something in them cannot be read, or is refused in a form that cannot be replaced.
        """
        run = self.gate.attempt(lambda: self._run(config), ModelInput(()), Conversation)
        units = self.gate.attempt(lambda: self._units(values), ModelInput(()), lambda: None)
        if units is None:
            return values
        fresh = [unit for unit in units if isinstance(unit, Unit)]
        if not fresh:
            return self._rebuilt(values, units, [])
        try:
            cleaned = self.gate.admit(fresh, self._passage(), run)
        except Denied as refusal:
            alone = len(fresh) == 1
            cleaned = [self._refused(fresh[0], refusal, run) if alone else self._alone(unit, run) for unit in fresh]
        return self._rebuilt(values, units, cleaned)

    async def aclean(self, values: list[Any], config: Any) -> list[Any]:
        """As ``clean``, without blocking the event loop."""
        run = await self.gate.aattempt(lambda: self._run(config), ModelInput(()), Conversation)
        units = await self.gate.aattempt(lambda: self._units(values), ModelInput(()), lambda: None)
        if units is None:
            return values
        fresh = [unit for unit in units if isinstance(unit, Unit)]
        if not fresh:
            return self._rebuilt(values, units, [])
        try:
            cleaned = await self.gate.aadmit(fresh, self._passage(), run)
        except Denied as refusal:
            alone = len(fresh) == 1
            cleaned = [
                await (self._arefused(fresh[0], refusal, run) if alone else self._aalone(unit, run)) for unit in fresh
            ]
        return self._rebuilt(values, units, cleaned)

    def _run(self, config: Any) -> Conversation:
        thread = (config.get("configurable") or {}).get("thread_id")
        return Conversation(
            principal=acting(self.gate.guard, self.gate.agent, config),
            framework=FRAMEWORK,
            thread=None if thread is None else str(thread),
        )

    def _units(self, values: list[Any]) -> list[Unit | Done]:
        """The parts of ``values`` in order; those that passed or were refused before are done."""
        found: list[Unit | Done] = []

        def note(part: Any) -> Any:
            unit = Unit.of(part)
            leaves = list(unit.event.leaves())
            if self.known.holds(leaves):
                found.append(Done(part))
            else:
                found.append(Done(unit.blank()) if self.refused.holds([as_one(leaves)]) else unit)
            return part

        for value in values:
            stored(value, note)
        return found

    def _rebuilt(self, values: list[Any], units: list[Unit | Done], cleaned: Sequence[Any]) -> list[Any]:
        parts, fresh = iter(units), iter(cleaned)

        def replaced(_part: Any) -> Any:
            known = next(parts)
            return known.value if isinstance(known, Done) else next(fresh)

        return [stored(value, replaced) for value in values]

    def _passage(self) -> Passage[Any, ModelInput]:
        return Passage(event=_event, apply=self._applied, nearest=lambda: ModelInput((), is_call=False))

    def _applied(self, units: list[Unit], _before: ModelInput, after: ModelInput) -> list[Any]:
        segments = iter(after.messages)
        found = [unit.applied(tuple(next(segments) for _ in unit.segments)) for unit in units]
        self.known.add(after.leaves())
        return found

    def _alone(self, unit: Unit, run: Conversation) -> Any:
        try:
            return self.gate.admit([unit], self._passage(), run)[0]
        except Denied as refusal:
            return self._refused(unit, refusal, run)

    async def _aalone(self, unit: Unit, run: Conversation) -> Any:
        try:
            return (await self.gate.aadmit([unit], self._passage(), run))[0]
        except Denied as refusal:
            return await self._arefused(unit, refusal, run)

    def _refused(self, unit: Unit, refusal: Denied, run: Conversation) -> Any:
        self._remember(unit, refusal)
        return self.gate.admit([Unit.of(unit.blank())], self._passage(), run)[0]

    async def _arefused(self, unit: Unit, refusal: Denied, run: Conversation) -> Any:
        self._remember(unit, refusal)
        return (await self.gate.aadmit([Unit.of(unit.blank())], self._passage(), run))[0]

    def _remember(self, unit: Unit, refusal: Denied) -> None:
        # A check that failed, or a record that was not stored, says nothing about the text.
        if refusal.decision.cause is None:
            self.refused.add([as_one(list(unit.event.leaves()))])


def _event(units: list[Unit]) -> ModelInput:
    return ModelInput(tuple(segment for unit in units for segment in unit.segments), is_call=False)


# -- the guarded class -----------------------------------------------------------------------------------------------


def _guarded_class(base: Any, store: _Store) -> Any:
    methods: dict[str, Any] = {
        "put": _put_of(base, store),
        "put_writes": _put_writes_of(base, store),
        "aput": _aput_of(base, store),
        "aput_writes": _aput_writes_of(base, store),
    }
    named = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__doc__": base.__doc__}
    guarded = types.new_class(base.__name__, (base,), {}, lambda body: body.update(named | methods))
    setattr(guarded, _GUARDS, (*getattr(base, _GUARDS, ()), store.gate.guard))
    return guarded


def _view(saver: Any, base: Any) -> Any:
    """The same saver, state shared, as its unguarded class: savers call their own methods from others."""
    view = base.__new__(base)
    object.__setattr__(view, "__dict__", saver.__dict__)
    return view


def _put_of(base: Any, store: _Store) -> Any:
    @functools.wraps(base.put)
    def put(self: Any, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        parts = _Parts.of(checkpoint, metadata)
        checked = parts.joined(store.clean(parts.values, config))
        return _view(self, base).put(config, *checked, new_versions)

    return put


def _aput_of(base: Any, store: _Store) -> Any:
    @functools.wraps(base.aput)
    async def aput(self: Any, config: Any, checkpoint: Any, metadata: Any, new_versions: Any) -> Any:
        parts = _Parts.of(checkpoint, metadata)
        checked = parts.joined(await store.aclean(parts.values, config))
        return await _view(self, base).aput(config, *checked, new_versions)

    return aput


def _put_writes_of(base: Any, store: _Store) -> Any:
    @functools.wraps(base.put_writes)
    def put_writes(self: Any, config: Any, writes: Any, *args: Any, **kwargs: Any) -> None:
        cleaned = store.clean([value for _, value in writes], config)
        _view(self, base).put_writes(config, _named(writes, cleaned), *args, **kwargs)

    return put_writes


def _aput_writes_of(base: Any, store: _Store) -> Any:
    @functools.wraps(base.aput_writes)
    async def aput_writes(self: Any, config: Any, writes: Any, *args: Any, **kwargs: Any) -> None:
        cleaned = await store.aclean([value for _, value in writes], config)
        await _view(self, base).aput_writes(config, _named(writes, cleaned), *args, **kwargs)

    return aput_writes


def _named(writes: Sequence[tuple[str, Any]], cleaned: Sequence[Any]) -> list[tuple[str, Any]]:
    """The writes with their checked values; the middleware's own channel holds ids only."""
    pairs = zip(writes, cleaned, strict=True)
    return [(name, value if name == RUN_CHANNEL else checked) for (name, value), checked in pairs]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What of a checkpoint came from outside LangGraph, value by value."""

    checkpoint: Mapping[str, Any]
    metadata: Mapping[str, Any]
    channels: tuple[str, ...]
    others: tuple[str, ...]
    notes: tuple[str, ...]

    @classmethod
    def of(cls, checkpoint: Mapping[str, Any], metadata: Mapping[str, Any]) -> _Parts:
        return cls(
            checkpoint,
            metadata,
            tuple(name for name in checkpoint["channel_values"] if name != RUN_CHANNEL),
            tuple(name for name in checkpoint if name not in _BOOKKEEPING),
            tuple(name for name in metadata if name not in _BOOKKEEPING),
        )

    @property
    def values(self) -> list[Any]:
        return [
            *(self.checkpoint["channel_values"][name] for name in self.channels),
            *(self.checkpoint[name] for name in self.others),
            *(self.metadata[name] for name in self.notes),
        ]

    def joined(self, values: Sequence[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """Checkpoint and metadata with the checked values."""
        found = iter(values)
        channels = {name: next(found) for name in self.channels}
        others = {name: next(found) for name in self.others}
        notes = {name: next(found) for name in self.notes}
        kept = {**self.checkpoint["channel_values"], **channels}
        return {**self.checkpoint, **others, "channel_values": kept}, {**self.metadata, **notes}
