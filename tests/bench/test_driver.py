from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random

import pytest

from clockwork_triton.bench.driver import BATCH, Driver
from clockwork_triton.bench.ledger import Ledger, Outcome
from clockwork_triton.bench.models import Input, Model
from clockwork_triton.bench.requests import RequestBook
from clockwork_triton.bench.wire import Reply
from clockwork_triton.simulation.workloads import ClosedLoop, FixedSlo, Timestamps, Workload
from tests.bench.virtual import VirtualLoop, run

MS = 1_000_000
OK, REFUSED, LOST = Reply("OK", b""), Reply("UNAVAILABLE", b"full"), Reply("UNAVAILABLE", b"gone", False)


class Server:
    """Answers in its turn, one after another, `service_ns` each; `replies` in order, then OK. A service time
    of None: never."""

    def __init__(self, loop: VirtualLoop, service_ns: int | None, replies: Sequence[Reply] = ()) -> None:
        self._loop = loop
        self._service_ns = service_ns
        self._replies = list(replies)
        self._free = 0.0
        self.seen: list[int] = []

    def at(self, place: int) -> Server:
        return self

    def flush(self) -> None:
        pass

    def send(self, request: bytes, done: Callable[[Reply], None]) -> None:
        self.seen.append(self._loop.now_ns())
        if self._service_ns is not None:
            self._free = max(self._free, self._loop.time()) + self._service_ns / 1e9
            self._loop.call_at(self._free, done, self._replies.pop(0) if self._replies else OK)


def drive(server: Server, workloads: Sequence[Workload], end_ns: int, loop: VirtualLoop) -> Ledger:
    model = Model("m", (Input("IN", "FP32", (1,), True),))
    ledger = Ledger()
    driver = Driver(server, RequestBook([model], [[{"IN": bytes(4)}]]), ledger, 0, end_ns, loop.now_ns)
    run(loop, driver.run(workloads, Random(0), 1.0))
    return ledger


def at(*times_ms: float, slo_ms: float | None = None) -> Timestamps:
    slo = FixedSlo(None if slo_ms is None else round(slo_ms * MS))
    return Timestamps([round(time * MS) for time in times_ms], [0] * len(times_ms), slo)


def test_an_open_loop_sends_on_time_whatever_the_answers_do() -> None:
    loop = VirtualLoop()
    server = Server(loop, 10 * MS)
    ledger = drive(server, [at(0, 1, 2.5, slo_ms=25)], 100 * MS, loop)
    assert server.seen == [0, 1 * MS, 2_500_000]
    assert [done - sent for done, sent in zip(ledger.done, ledger.sent, strict=True)] == pytest.approx(
        [10 * MS, 19 * MS, 27.5 * MS], abs=10
    )
    assert list(ledger.outcomes) == [Outcome.GOOD, Outcome.GOOD, Outcome.LATE]


def test_a_backlog_is_sent_in_batches_and_all_of_it() -> None:
    loop = VirtualLoop()
    server = Server(loop, 1)
    ledger = drive(server, [at(*([5.0] * (3 * BATCH + 1)))], 10 * MS, loop)
    assert server.seen == [5 * MS] * (3 * BATCH + 1)
    assert len(ledger) == 3 * BATCH + 1


def test_workloads_are_merged_by_time() -> None:
    loop = VirtualLoop()
    server = Server(loop, 1)
    drive(server, [at(0, 4), at(2, 3)], 10 * MS, loop)
    assert server.seen == [0, 2 * MS, 3 * MS, 4 * MS]


def test_clients_of_a_closed_loop_wait_for_answers_and_think() -> None:
    loop = VirtualLoop()
    server = Server(loop, 3 * MS)
    drive(server, [ClosedLoop(0, 1, FixedSlo(None), think_ns=1 * MS)], 10 * MS, loop)
    assert server.seen == pytest.approx([0, 4 * MS, 8 * MS], abs=10)


def test_as_many_clients_as_wanted() -> None:
    loop = VirtualLoop()
    server = Server(loop, 1 * MS)
    ledger = drive(server, [ClosedLoop(0, 3, FixedSlo(None), think_ns=0)], 10 * MS, loop)
    assert server.seen[:3] == [0, 0, 0]
    # Always three under way, one of which is served at a time.
    assert 11 <= len(ledger) <= 13
    assert max(ledger.done[n] - ledger.sent[n] for n in range(len(ledger))) == pytest.approx(3 * MS, abs=10)


def test_a_client_rests_after_a_lost_request_but_not_after_a_refusal() -> None:
    loop = VirtualLoop()
    server = Server(loop, 1 * MS, [REFUSED, LOST])
    ledger = drive(server, [ClosedLoop(0, 1, FixedSlo(None), think_ns=0)], 110 * MS, loop)
    assert server.seen[:3] == pytest.approx([0, 1 * MS, 102 * MS], abs=10)
    assert list(ledger.outcomes[:3]) == [Outcome.REFUSED, Outcome.LOST, Outcome.GOOD]


def test_what_is_never_answered_is_lost() -> None:
    loop = VirtualLoop()
    ledger = drive(Server(loop, None), [at(0, 1)], 10 * MS, loop)
    assert list(ledger.outcomes) == [Outcome.LOST] * 2
    assert list(ledger.known_words) == ["UNKNOWN: no answer came"]


def test_the_clock_of_tests_is_not_the_wall() -> None:
    loop = VirtualLoop()
    run(loop, asyncio.sleep(3600))
    assert loop.now_ns() >= 3600 * 10**9
