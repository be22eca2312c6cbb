"""Examining pieces in several processes, answers in the order of the pieces."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from agentguard.errors import ScanError
from agentguard.scan.examiner import Examined, Search, examine
from agentguard.scan.piece import Piece

__all__ = ["examined"]

T = TypeVar("T")

# Characters examined here before other processes are started: starting them costs half a second.
ALONE = 8_000_000
# Pieces in flight per process: enough that none waits, and the bound on memory.
AHEAD = 4


def examined(
    items: Iterable[tuple[T, Piece | None]], search: Search, jobs: int = 1
) -> Iterator[tuple[T, Piece | None, Examined | None]]:
    """Each item with what its piece held, in order. An item without a piece passes through at its place.

    Raises:
        ScanError: a process died.
    """
    rest = iter(items)
    done = 0
    for token, piece in rest:
        yield token, piece, None if piece is None else examine(piece, search)
        done += 0 if piece is None else piece.high - piece.low
        if jobs > 1 and done > ALONE:
            break
    else:
        return
    yield from _pooled(rest, search, jobs)


def _pooled(
    items: Iterable[tuple[T, Piece | None]], search: Search, jobs: int
) -> Iterator[tuple[T, Piece | None, Examined | None]]:
    waiting: deque[tuple[T, Piece | None, Future[Examined] | None]] = deque()
    pool = ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))
    try:
        for token, piece in items:
            waiting.append((token, piece, None if piece is None else pool.submit(examine, piece, search)))
            while len(waiting) > AHEAD * jobs:
                yield _settled(*waiting.popleft())
        while waiting:
            yield _settled(*waiting.popleft())
    except BrokenProcessPool as error:
        raise ScanError("a process of the scan died, perhaps for want of memory; try a smaller --jobs") from error
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _settled(token: T, piece: Piece | None, future: Future[Examined] | None) -> tuple[T, Piece | None, Examined | None]:
    return token, piece, None if future is None else future.result()
