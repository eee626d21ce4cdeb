"""The server's event loop: asyncio's own, which also knows since when what it reads may have waited."""

from __future__ import annotations

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_WAITED_NS = 50_000
"""A look at the sockets that takes longer had to wait for something to come."""


class ArrivalSelector(selectors.EpollSelector):
    """`since_ns`: the earliest moment, on the monotonic clock, at which anything that the last `select` found
    can have come, if its predecessor's findings were read to their end.

    A busy loop sees what comes only at its next turn. Whoever plans by when requests arrived must count that
    turn, or the server is late for them without knowing.
    """

    def __init__(self, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__()
        self._now_ns = now_ns
        self.since_ns = self._looked_ns = now_ns()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        begin_ns = self._now_ns()
        found = super().select(timeout)
        now_ns = self._now_ns()
        # Where it waited there was nothing before.
        self.since_ns = now_ns if now_ns - begin_ns > _WAITED_NS else self._looked_ns
        self._looked_ns = now_ns
        return found


class EventLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.arrivals = ArrivalSelector()
        super().__init__(self.arrivals)


def readable_since(loop: asyncio.AbstractEventLoop) -> Callable[[], int]:
    """A function that says since when, on the monotonic clock, what is being read now may have waited. On a
    loop of another kind it says: not at all."""
    if not isinstance(loop, EventLoop):
        return time.monotonic_ns
    arrivals = loop.arrivals
    return lambda: arrivals.since_ns


def run(main: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in a loop of this kind."""
    loop = EventLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
