"""The time and the turns of the event loop, as the connection sees them: tests bring their own."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol


class Timer(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now_ns(self) -> int:
        """Monotonic."""

    def call_soon(self, callback: Callable[[], None]) -> None: ...

    def call_later(self, delay_ns: int, callback: Callable[[], None]) -> Timer: ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]: ...


class LoopClock:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now_ns = time.monotonic_ns

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._loop.call_soon(callback)

    def call_later(self, delay_ns: int, callback: Callable[[], None]) -> Timer:
        return self._loop.call_later(delay_ns / 1e9, callback)

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        if sys.version_info >= (3, 12):
            # Most handlers are soon done or soon wait for the engine: no turn of the loop in between.
            return asyncio.Task(coroutine, loop=self._loop, eager_start=True)
        return self._loop.create_task(coroutine)
