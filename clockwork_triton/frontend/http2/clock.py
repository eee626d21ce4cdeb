"""The time and the turns of the event loop, as the connection sees them: tests bring their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol, TypeVar

from clockwork_triton.event_loop import readable_since, turn_end
from clockwork_triton.frontend.http2.eager import begin

T = TypeVar("T")


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now_ns(self) -> int:
        """Monotonic."""

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """After all that this turn of the loop has found."""

    def call_later(self, delay_ns: int, callback: Callable[[], None]) -> Timer: ...

    def readable_since_ns(self) -> int:
        """The earliest moment at which what is read in this turn of the loop can have come."""

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Begins it at once, and gives it a task if it does not end at once."""

    def offload(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """Runs `work`, which takes long and touches nothing else, beside the loop, one after the other."""


class LoopClock:
    def __init__(self, loop: asyncio.AbstractEventLoop, now_ns: Callable[[], int]) -> None:
        self._loop = loop
        # One thread: what it takes from the loop's core is bounded. It is only started if it is needed.
        self._worker = ThreadPoolExecutor(1, "http2-compression")
        self.now_ns = now_ns
        self.readable_since_ns = readable_since(loop)
        self.at_turn_end = turn_end(loop)

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)

    def call_later(self, delay_ns: int, callback: Callable[[], None]) -> Timer:
        return self._loop.call_later(delay_ns / 1e9, callback)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        # Most handlers are soon done or soon wait for the engine: no turn of the loop in between.
        return begin(coroutine, self._loop)

    def offload(self, work: Callable[[], T]) -> asyncio.Future[T]:
        future = self._loop.run_in_executor(self._worker, work)
        # Whoever asked may be gone when it fails.
        future.add_done_callback(_look_at)
        return future

    def close(self) -> None:
        self._worker.shutdown(wait=False, cancel_futures=True)


def _look_at(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()
