"""Drives a server with workloads: open loops by the clock, closed loops by the answers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from random import Random
from typing import Protocol

from clockwork_triton.bench.ledger import Outcome
from clockwork_triton.bench.wire import Reply
from clockwork_triton.simulation.workloads import Arrival, ClosedLoop, OpenLoop, Workload

SECOND = 1_000_000_000
BATCH = 32
"""So many requests at most are sent between two looks at the answers, however late the schedule is."""
REST_S = 0.1
"""How long a client of a closed loop rests after a lost request."""
GAVE_UP = Reply("UNKNOWN", b"no answer came", False)
"""What is entered for a request that has not ended."""


class Connecting(Protocol):
    def send(self, request: bytes, done: Callable[[Reply], None]) -> None: ...

    def flush(self) -> None: ...


class Book(Protocol):
    def get(self, model_id: int, slo_ns: int | None, rows: int, priority: int) -> bytes:
        """A request, serialised."""


class Entries(Protocol):
    def enter(
        self, model_id: int, due_ns: int, sent_ns: int, done_ns: int, slo_ns: int | None, reply: Reply
    ) -> Outcome:
        """What became of a request."""


class Connections(Protocol):
    def at(self, place: int) -> Connecting: ...

    def flush(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Client:
    """One of a closed loop's. It stays with its connection, as real ones do."""

    loop: ClosedLoop
    place: int


class Driver:
    """`begin_ns`: the workloads' zero on the clock of the loop and of `now_ns`. What ends is entered into
    `ledger`."""

    def __init__(
        self,
        connections: Connections,
        book: Book,
        ledger: Entries,
        begin_ns: int,
        end_ns: int,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._now_ns = now_ns
        self._connections = connections
        self._book = book
        self._ledger = ledger
        self._begin_ns = begin_ns
        self._end_ns = end_ns
        self._number = 0
        self._open: dict[int, tuple[int, int, int, int | None]] = {}
        self._idle = asyncio.Event()
        self._running = 0
        self.offered = 0
        """Requests that were due so far."""

    @property
    def in_flight(self) -> int:
        return len(self._open)

    async def run(self, workloads: Sequence[Workload], rng: Random, patience_s: float) -> None:
        """Returns once all that was sent has ended, or `patience_s` after the last was sent; what has not
        ended then is lost."""
        loop = asyncio.get_running_loop()
        open_loops = [each for each in workloads if not isinstance(each, ClosedLoop)]
        if open_loops:
            self._running += 1
            arrivals = _merged(open_loops, rng, self._end_ns - self._begin_ns)
            loop.call_at(self._begin_ns / 1e9, self._pump, arrivals, None)
        closed_loops = [each for each in workloads if isinstance(each, ClosedLoop)]
        for place, mine in enumerate(each for each in closed_loops for _ in range(each.concurrency)):
            self._running += 1
            loop.call_at((self._begin_ns + mine.begin_ns) / 1e9, self._ask, Client(mine, place))
        remaining_s = (self._end_ns - self._now_ns()) / SECOND
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._idle.wait(), remaining_s + patience_s)
        self._give_up()

    def _pump(self, arrivals: Iterator[Arrival], waiting: Arrival | None) -> None:
        """Sends what is due, and comes back when more is."""
        loop = asyncio.get_running_loop()
        arrival = waiting or next(arrivals, None)
        for _ in range(BATCH):
            if arrival is None:
                self._running -= 1
                break
            due_ns = self._begin_ns + arrival.time_ns
            if due_ns > self._now_ns():
                loop.call_at(due_ns / 1e9, self._pump, arrivals, arrival)
                break
            self._send(arrival, due_ns, None)
            arrival = next(arrivals, None)
        else:
            loop.call_soon(self._pump, arrivals, arrival)
        self._connections.flush()
        self._look()

    def _ask(self, client: Client) -> None:
        """The next request of a client, unless the time is up."""
        if self._send_next(client):
            self._connections.at(client.place).flush()

    def _send_next(self, client: Client) -> bool:
        now_ns = self._now_ns()
        if now_ns < self._end_ns:
            self._send(client.loop.ask(now_ns - self._begin_ns), None, client)
            return True
        self._running -= 1
        self._look()
        return False

    def _send(self, arrival: Arrival, due_ns: int | None, client: Client | None) -> None:
        request = self._book.get(arrival.model_id, arrival.slo_ns, arrival.rows, arrival.priority)
        number, self._number = self._number, self._number + 1
        self.offered += 1
        sent_ns = self._now_ns()
        self._open[number] = (
            arrival.model_id,
            sent_ns if due_ns is None else due_ns,
            sent_ns,
            arrival.slo_ns,
        )
        place = number if client is None else client.place
        self._connections.at(place).send(request, partial(self._done, number, client))

    def _done(self, number: int, client: Client | None, reply: Reply) -> None:
        entry = self._open.pop(number, None)
        if entry is None:
            return
        model_id, due_ns, sent_ns, slo_ns = entry
        outcome = self._ledger.enter(model_id, due_ns, sent_ns, self._now_ns(), slo_ns, reply)
        if client is not None:
            self._go_on(client, outcome)
        elif not self._open:
            self._look()

    def _go_on(self, client: Client, outcome: Outcome) -> None:
        loop = asyncio.get_running_loop()
        if outcome is Outcome.LOST:
            loop.call_later(REST_S, self._ask, client)
        elif client.loop.think_ns:
            loop.call_later(client.loop.think_ns / SECOND, self._ask, client)
        else:
            # What it sends leaves with what else this read of its connection has caused.
            self._send_next(client)

    def _look(self) -> None:
        if not self._running and not self._open:
            self._idle.set()

    def _give_up(self) -> None:
        now_ns = self._now_ns()
        for model_id, due_ns, sent_ns, slo_ns in self._open.values():
            self._ledger.enter(model_id, due_ns, sent_ns, now_ns, slo_ns, GAVE_UP)
        self._open.clear()


def _merged(workloads: Sequence[OpenLoop], rng: Random, end_ns: int) -> Iterator[Arrival]:
    """Each workload draws from a generator of its own, so that it asks the same beside others."""
    seeds = [rng.getrandbits(64) for _ in workloads]
    return merge(
        *(each.arrivals(Random(seed), end_ns) for each, seed in zip(workloads, seeds, strict=True)),
        key=lambda arrival: arrival.time_ns,
    )
