"""JSON-RPC frames, one a line: read with bounds, written anew.

What goes on is always our own encoding of what was read, so that two parsers cannot read one line differently:
duplicate keys, odd numbers and broken text end here.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from agentguard import Json

from .messages import Object

__all__ = ["MAX_FRAME", "TOO_LONG", "FrameError", "Lines", "decoded", "encoded", "fault", "identifier"]

# Bytes of one message. A longer one has no honest use as a model's reading, and would be held in memory several times.
MAX_FRAME = 4 * 1024 * 1024
MAX_ID = 256
# Said in place of a frame that was longer than it may be.
TOO_LONG = "a message over the limit"

PARSE_ERROR = -32700
INVALID_REQUEST = -32600


class FrameError(Exception):
    """A line is no JSON-RPC message that can be understood."""


class Lines:
    """Cuts a stream of bytes into lines of at most ``limit`` bytes; None stands for a line that was longer."""

    def __init__(self, limit: int = MAX_FRAME) -> None:
        self._limit = limit
        self._held = bytearray()
        self._skipping = False

    def feed(self, data: bytes) -> Iterator[bytes | None]:
        """The lines that ``data`` completes."""
        *whole, rest = data.split(b"\n")
        for part in whole:
            self._hold(part)
            line = None if self._skipping else bytes(self._held)
            self._held.clear()
            self._skipping = False
            yield line
        self._hold(rest)

    def _hold(self, part: bytes) -> None:
        if self._skipping or len(self._held) + len(part) > self._limit:
            self._skipping = True
            self._held.clear()
        else:
            self._held += part


def decoded(line: bytes) -> Object:
    """The message of a line.

    Raises:
        FrameError: it is no JSON object of JSON-RPC 2.0.
    """
    try:
        frame = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
        raise FrameError("not JSON") from error
    if not isinstance(frame, dict) or frame.get("jsonrpc") != "2.0":
        raise FrameError("not a JSON-RPC 2.0 message")
    for key, kind in (("method", str), ("params", dict), ("error", dict)):
        if key in frame and not isinstance(frame[key], kind) and not (key != "method" and frame[key] is None):
            raise FrameError(f"{key} is of the wrong type")
    if "result" in frame and not isinstance(frame["result"], dict):
        raise FrameError("result is no object")
    return frame


def encoded(frame: Object) -> bytes:
    """One line.

    Raises:
        FrameError: a value has no JSON form.
    """
    try:
        return msgspec.json.encode({"jsonrpc": "2.0", **frame}) + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError("a message has no JSON form") from error


def identifier(frame: Object) -> str | int | None:
    """The id of a request or an answer.

    Raises:
        FrameError: it is neither a short text nor an integer.
    """
    found = frame.get("id")
    if found is None or (isinstance(found, int) and not isinstance(found, bool)):
        return found
    if isinstance(found, str) and len(found) <= MAX_ID:
        return found
    raise FrameError("an id is a short text or an integer")


def fault(code: int, message: str) -> Object:
    """An error object."""
    return {"code": code, "message": message}


def params_of(frame: Object) -> dict[str, Json]:
    """The parameters of a request or notification; empty when it has none."""
    found = frame.get("params")
    return found if isinstance(found, dict) else {}
