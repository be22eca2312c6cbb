"""Objects of the framework that gain guarded methods by changing their class, and lose them again.

Agents, teams and hand-off tools know each other by identity, so they are guarded as they stand. What an object is
guarded by is told by its class, which no input can reach.
"""

from __future__ import annotations

from typing import Any

from agentguard import AdapterError

__all__ = ["guards_of", "swap"]


def swap(target: object, guarded: type, settings: Any) -> type:
    """Put the methods of ``guarded`` before those of the object's class, with ``settings`` as ``_agentguard``.

    ``guarded`` is a subclass of the framework's class, of which the object's may be another. Gives back what it was.

    Raises:
        AdapterError: another guard checks the object already.
    """
    before = type(target)
    metaclass: Any = type(before)
    if guards_of(target):
        raise AdapterError(f"this {before.__name__} is guarded by another guard already; undo that first")
    namespace = {"__module__": before.__module__, "__qualname__": before.__qualname__, "_agentguard": settings}
    bases = (guarded,) if issubclass(guarded, before) else (guarded, before)
    object.__setattr__(target, "__class__", metaclass(before.__name__, bases, namespace))
    return before


def guards_of(target: object) -> list[Any]:
    """The settings under which an object is guarded, the outermost first."""
    return [vars(known)["_agentguard"] for known in type(target).__mro__ if "_agentguard" in vars(known)]
