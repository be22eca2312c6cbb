"""A kernel that refuses one kind of system call: real EIO, ENOSPC and EROFS in the process that asks for them.

A seccomp filter (Linux, no privilege needed) answers the named calls with an error from then on, in every thread. It
cannot be taken back, so it belongs into a process of its own. Elsewhere than Linux nothing can be refused.
"""

from __future__ import annotations

import ctypes
import platform
import sys

__all__ = ["SUPPORTED", "refuse"]

_PR_SET_NO_NEW_PRIVS = 38
_FILTER, _ALL_THREADS = 1, 1
_LOAD_NUMBER, _EQUALS, _ANSWER = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

# The calls SQLite makes to write and to sync, and seccomp itself, by machine (asm/unistd.h).
_NUMBERS = {
    "x86_64": {"seccomp": 317, "fsync": 74, "fdatasync": 75, "pwrite64": 18, "write": 1},
    "aarch64": {"seccomp": 277, "fsync": 82, "fdatasync": 83, "pwrite64": 68, "write": 64},
}
SUPPORTED = sys.platform == "linux" and platform.machine() in _NUMBERS


class _Step(ctypes.Structure):
    _fields_ = (("code", ctypes.c_ushort), ("yes", ctypes.c_ubyte), ("no", ctypes.c_ubyte), ("value", ctypes.c_uint))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("steps", ctypes.POINTER(_Step)))


def refuse(*calls: str, errno: int) -> None:
    """From now on every thread of this process gets ``errno`` from ``calls``, for example ``fsync``."""
    numbers = _NUMBERS[platform.machine()]
    wanted = [numbers[call] for call in calls]
    steps = [_Step(_LOAD_NUMBER, 0, 0, 0)]
    for at, number in enumerate(wanted, 1):
        left = len(wanted) - at
        steps.append(_Step(_EQUALS, left, 0 if left else 1, number))
    steps += [_Step(_ANSWER, 0, 0, _ERRNO | errno), _Step(_ANSWER, 0, 0, _ALLOW)]
    array = (_Step * len(steps))(*steps)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no-new-privileges was refused")
    program = _Program(len(steps), array)
    if libc.syscall(numbers["seccomp"], _FILTER, _ALL_THREADS, ctypes.byref(program)) != 0:
        raise OSError(ctypes.get_errno(), "the filter was refused")
