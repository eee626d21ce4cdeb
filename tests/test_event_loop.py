from __future__ import annotations

import asyncio
import selectors
import socket
import time

from clockwork_triton import event_loop
from clockwork_triton.event_loop import ArrivalSelector, EventLoop, readable_since


class Times:
    """A clock that is read at times known beforehand."""

    def __init__(self, *times_ns: int) -> None:
        self._times_ns = iter(times_ns)

    def __call__(self) -> int:
        return next(self._times_ns)


def test_what_a_turn_finds_may_have_come_since_the_last_look() -> None:
    selector = ArrivalSelector(Times(0, 1_000, 2_000, 9_000_000, 9_001_000))
    ours, theirs = socket.socketpair()
    with ours, theirs, selector:
        selector.register(ours, selectors.EVENT_READ)
        selector.select(0)
        theirs.send(b"x")
        assert selector.select(0)
        assert selector.since_ns == 2_000


def test_what_a_look_waited_for_came_at_its_end() -> None:
    selector = ArrivalSelector(Times(0, 1_000, 7_000_000))
    ours, theirs = socket.socketpair()
    with ours, theirs, selector:
        selector.register(ours, selectors.EVENT_READ)
        theirs.send(b"x")
        assert selector.select(1.0)
        assert selector.since_ns == 7_000_000


def test_the_loop_runs_and_knows() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, EventLoop)
        await asyncio.sleep(0)
        since_ns = readable_since(loop)()
        assert since_ns == loop.arrivals.since_ns
        assert since_ns <= time.monotonic_ns()
        return 7

    assert event_loop.run(main()) == 7


def test_another_loop_knows_of_no_wait() -> None:
    loop = asyncio.new_event_loop()
    try:
        before_ns = time.monotonic_ns()
        assert before_ns <= readable_since(loop)() <= time.monotonic_ns()
    finally:
        loop.close()
