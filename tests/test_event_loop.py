from __future__ import annotations

import asyncio
import selectors
import socket
import time
from contextlib import closing

from clockwork_triton import event_loop
from clockwork_triton.event_loop import ArrivalSelector, EventLoop, readable_since, turn_end


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


def test_the_end_of_a_turn_comes_before_the_next_look() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        at_turn_end, said = turn_end(loop), []

        def end() -> None:
            said.append("its end")
            at_turn_end(lambda: said.append("what its end asked for"))

        def begin() -> None:
            said.append("a turn")
            loop.call_soon(said.append, "the next")
            at_turn_end(end)

        loop.call_soon(begin)
        loop.call_soon(said.append, "the rest of it")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert said == ["a turn", "the rest of it", "its end", "what its end asked for", "the next"]

    event_loop.run(main())


def test_what_fails_at_the_end_of_a_turn_is_reported_and_keeps_nothing_else() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reported, said = [], []
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        turn_end(loop)(lambda: int("x"))
        turn_end(loop)(lambda: said.append(1))
        await asyncio.sleep(0)
        assert [type(error) for error in reported] == [ValueError]
        assert said == [1]

    event_loop.run(main())


def test_what_is_asked_for_at_the_end_of_a_turn_is_not_slept_through() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        soon, later = loop.create_future(), loop.create_future()
        turn_end(loop)(lambda: soon.set_result(None))
        await soon
        turn_end(loop)(lambda: loop.call_later(0.001, later.set_result, None))
        await later

    event_loop.run(main())


def test_another_loop_ends_its_turns_with_one_more() -> None:
    async def main() -> None:
        said: list[int] = []
        turn_end(asyncio.get_running_loop())(lambda: said.append(1))
        await asyncio.sleep(0)
        assert said == [1]

    asyncio.run(main())


def test_a_loop_that_polls_finds_what_comes_and_keeps_its_timers() -> None:
    async def main() -> bytes:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.setblocking(False)
            loop.call_later(0.002, theirs.send, b"x")
            return await loop.sock_recv(ours, 1)

    assert event_loop.run(main(), busy_poll_us=500) == b"x"


def test_polling_ends_when_its_time_is_over() -> None:
    selector = ArrivalSelector(Times(0, 1_000, 2_000, 40_000, 51_000, 52_000))
    selector.busy_poll_ns = 50_000
    with selector:
        assert selector.select(0.00005) == []
        assert selector.since_ns == 52_000


class CountingLoop(EventLoop):
    """`turns`: those of asyncio."""

    turns = 0

    def _run_once(self) -> None:
        self.turns += 1
        super()._run_once()  # type: ignore[misc]


def test_what_is_found_is_read_without_a_turn_of_asyncio() -> None:
    loop = CountingLoop()
    ours, theirs = socket.socketpair()
    done = loop.create_future()
    received = []
    ended = []

    def read() -> None:
        received.append(ours.recv(1))
        loop.at_turn_end(lambda: ended.append(len(received)))
        if len(received) == 40:
            done.set_result(None)
        else:
            theirs.send(b"x")

    with ours, theirs, closing(loop):
        loop.add_reader(ours, read)
        theirs.send(b"x")
        loop.run_until_complete(done)
        loop.remove_reader(ours)
    assert loop.turns < 6
    # The loop ends in the last.
    assert ended == list(range(1, 40))


def test_what_can_always_be_read_keeps_neither_timers_nor_tasks_nor_writers_waiting() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair()
        written = loop.create_future()

        def write() -> None:
            loop.remove_writer(theirs)
            written.set_result(None)

        with ours, theirs:
            theirs.send(b"x")
            loop.add_reader(ours, lambda: None)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)
            loop.add_writer(theirs, write)
            await written
            loop.remove_reader(ours)

    event_loop.run(main())


def test_a_reader_that_fails_is_reported_and_may_be_removed_by_another() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        reported = []
        loop.set_exception_handler(lambda _, context: reported.append(context["exception"]))
        pairs = [socket.socketpair() for _ in range(3)]
        done = loop.create_future()

        def fail() -> None:
            for ours, _ in pairs:
                loop.remove_reader(ours)
            loop.call_soon(done.set_result, None)
            raise ValueError("of the reader")

        for ours, theirs in pairs:
            theirs.send(b"x")
            loop.add_reader(ours, fail)
        await done
        assert [str(error) for error in reported] == ["of the reader"]
        for ours, theirs in pairs:
            ours.close()
            theirs.close()

    event_loop.run(main())
