"""The server's event loop: asyncio's own, which also knows since when what it reads may have waited, and has
an end of each turn."""

from __future__ import annotations

import asyncio
import contextlib
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

_MOST_TURNS = 64
"""That the loop takes without asyncio, which now and then clears its cancelled timers away."""
_WAITED_NS = 50_000
"""A look at the sockets that takes longer had to wait for something to come."""


_Found = list[tuple[selectors.SelectorKey, int]]


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
        self.busy_poll_ns = 0
        """For how long it looks again and again before it sleeps, which wakes faster and burns a core."""
        self.longest_turn_ns = 0
        """Between two looks; whoever reads it may set it back."""
        self.before_waiting: Callable[[float | None], float | None] = _as_planned
        """Called with the timeout of every look; returns the one to take."""

    def select(self, timeout: float | None = None) -> _Found:
        timeout = self.before_waiting(timeout)
        begin_ns = self._now_ns()
        self.longest_turn_ns = max(self.longest_turn_ns, begin_ns - self._looked_ns)
        found = super().select(timeout) if not self.busy_poll_ns else self._look_again(timeout, begin_ns)
        now_ns = self._now_ns()
        # Where it waited there was nothing before.
        self.since_ns = now_ns if now_ns - begin_ns > _WAITED_NS else self._looked_ns
        self._looked_ns = now_ns
        return found

    def _look_again(self, timeout: float | None, begin_ns: int) -> _Found:
        patience_ns = self.busy_poll_ns if timeout is None else min(self.busy_poll_ns, int(timeout * 1e9))
        while True:
            found = super().select(0)
            waited_ns = self._now_ns() - begin_ns
            if found or waited_ns >= patience_ns:
                break
        if found or timeout == 0:
            return found
        return super().select(None if timeout is None else max(0.0, timeout - waited_ns / 1e9))


class EventLoop(asyncio.SelectorEventLoop):
    """`at_turn_end(callback)` has the callback run when all that this turn found has been dealt with, before
    the loop looks for more. `call_soon` would take a turn of its own: a look at the sockets and a handle.

    What is found to be readable is read at once, and the next look follows where asyncio has nothing to do
    meanwhile: its own turns cost more than a small read.
    """

    _ready: deque[asyncio.Handle]
    _scheduled: list[asyncio.TimerHandle]
    _stopping: bool

    def __init__(self) -> None:
        self.arrivals = ArrivalSelector()
        super().__init__(self.arrivals)
        self._at_turn_end: list[Callable[[], None]] = []
        self.at_turn_end = self._at_turn_end.append
        self.arrivals.before_waiting = self._end_turn

    def _end_turn(self, timeout: float | None) -> float | None:
        """Calls back, in the order of asking, whatever is asked for meanwhile too."""
        if not self._at_turn_end:
            return timeout
        for callback in self._at_turn_end:
            try:
                callback()
            except Exception as error:
                context = {"message": f"Exception in {callback} at the end of a turn", "exception": error}
                self.call_exception_handler(context)
        self._at_turn_end.clear()
        left = self._patience()
        if left is None or timeout is None:
            return timeout if left is None else left
        return min(timeout, left)

    def _patience(self) -> float | None:
        """How long asyncio has nothing to do, in seconds; None: for ever."""
        if self._ready or self._stopping:
            return 0
        if not self._scheduled:
            return None
        return max(0.0, self._scheduled[0].when() - self.time())

    def _process_events(self, event_list: _Found) -> None:
        """asyncio's own puts a handle for each event into its queue."""
        for _ in range(_MOST_TURNS):
            others = self._read(event_list)
            timeout = self._patience()
            if others or timeout == 0:
                break
            event_list = self.arrivals.select(timeout)
        else:
            others = event_list
        super()._process_events(others)  # type: ignore[misc]

    def _read(self, found: _Found) -> _Found:
        """Reads what can be read; returns what there is besides."""
        others = []
        for key, events in found:
            reader = key.data[0]
            if events != selectors.EVENT_READ or reader is None:
                others.append((key, events))
            elif not reader.cancelled():
                reader._run()
        return others


def readable_since(loop: asyncio.AbstractEventLoop) -> Callable[[], int]:
    """A function that says since when, on the monotonic clock, what is being read now may have waited. On a
    loop of another kind it says: not at all."""
    if not isinstance(loop, EventLoop):
        return time.monotonic_ns
    arrivals = loop.arrivals
    return lambda: arrivals.since_ns


def longest_turn_ns(loop: asyncio.AbstractEventLoop) -> int:
    """The longest that the loop was busy without looking for what came, since this was asked last; 0 on a
    loop of another kind."""
    if not isinstance(loop, EventLoop):
        return 0
    longest_ns, loop.arrivals.longest_turn_ns = loop.arrivals.longest_turn_ns, 0
    return longest_ns


def turn_end(loop: asyncio.AbstractEventLoop) -> Callable[[Callable[[], None]], None]:
    """A function that has a callback run at the end of the loop's turn; on a loop of another kind, in a turn
    of its own right after it."""
    if isinstance(loop, EventLoop):
        return loop.at_turn_end
    return lambda callback: _discard(loop.call_soon(callback))


def on_daemon_thread(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """As run_in_executor, for work that may never end: it has a thread of its own, for which neither the end
    of the loop nor that of this process waits. What it says when nobody waits any more is dropped."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def run() -> None:
        try:
            result = work()
        except BaseException as error:
            answer(future.set_exception, error)
        else:
            answer(future.set_result, result)

    def answer(settle: Callable[[Any], None], value: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(_unless_done, future, settle, value)

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _unless_done(future: asyncio.Future[T], settle: Callable[[Any], None], value: Any) -> None:
    if not future.done():
        settle(value)


def _discard(_handle: asyncio.Handle) -> None:
    pass


def _as_planned(timeout: float | None) -> float | None:
    return timeout


def run(main: Coroutine[Any, Any, T], busy_poll_us: int = 0) -> T:
    """As asyncio.run, in a loop of this kind, which looks for that long before it sleeps."""
    loop = EventLoop()
    loop.arrivals.busy_poll_ns = busy_poll_us * 1000
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(main)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        asyncio.set_event_loop(None)
        loop.close()
