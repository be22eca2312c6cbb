"""Objects of the framework that gain guarded methods by changing their class, and lose them again.

CrewAI's parts are pydantic models that know each other by identity, so they are guarded as they stand. What an object
is guarded by is told by its class, which no input can reach.
"""

from __future__ import annotations

from typing import Any

__all__ = ["guarded_class", "guards_of", "swap"]


def guarded_class(base: type, mixin: type, settings: Any) -> type:
    """A class that is ``base`` with the methods of ``mixin`` before it and ``settings`` as ``_agentguard``."""
    namespace = {"__module__": base.__module__, "__qualname__": base.__qualname__}
    made = type(base)(base.__name__, (mixin, base), namespace)
    # Past pydantic, which makes a private field of an instance of every underscored name in a class body.
    type.__setattr__(made, "_agentguard", settings)
    return made


def swap(target: object, mixin: type, settings: Any) -> type:
    """Put the guarded class in place of the object's own; gives back what it was."""
    before = type(target)
    object.__setattr__(target, "__class__", guarded_class(before, mixin, settings))
    return before


def guards_of(target: object) -> list[Any]:
    """The settings under which an object is guarded, the outermost first."""
    return [vars(known)["_agentguard"] for known in type(target).__mro__ if "_agentguard" in vars(known)]
