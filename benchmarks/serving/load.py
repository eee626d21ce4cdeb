"""Load on a server: requests serialised beforehand, sent as bytes, each accounted for."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np

from clockwork_triton.bench import wire
from clockwork_triton.bench.driver import GAVE_UP, Driver
from clockwork_triton.bench.ledger import Outcome, outcome_of
from clockwork_triton.bench.pool import INFER, Pool
from clockwork_triton.simulation.workloads import FixedSlo, Timestamps

CONNECTIONS = 8
"""Of an open loop, so that no limit on the streams of one holds requests back."""
HANG = "HANG"
HANG_S = 30.0
"""A request without an answer for this long hangs. Far beyond every timeout that checks give."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request; times are monotonic nanoseconds.

    `due_ns` is when the schedule wanted it sent (closed loop: `sent_ns`). `status` is the gRPC code's name,
    or HANG. `index` says which of the requests given it was.
    """

    index: int
    due_ns: int
    sent_ns: int
    done_ns: int
    status: str
    details: str = ""
    reply: bytes = b""

    @property
    def ok(self) -> bool:
        return self.status == "OK"

    @property
    def latency_ns(self) -> int:
        return self.done_ns - self.sent_ns

    @property
    def slip_ns(self) -> int:
        """How late the client itself was."""
        return self.sent_ns - self.due_ns


async def _ask(connection: wire.Connection, requests: Sequence[bytes], index: int, keep: bool) -> Answer:
    sent_ns = time.monotonic_ns()
    try:
        reply = await connection.call(requests[index])
    except asyncio.CancelledError:
        # By the loop below, which gave up on it.
        return Answer(index, sent_ns, sent_ns, time.monotonic_ns(), HANG)
    done_ns = time.monotonic_ns()
    if reply.status == "OK":
        return Answer(index, sent_ns, sent_ns, done_ns, "OK", "", reply.body if keep else b"")
    return Answer(index, sent_ns, sent_ns, done_ns, reply.status, reply.body.decode(errors="replace"))


def closed_loop(
    address: str,
    requests: Sequence[bytes],
    concurrency: int,
    *,
    seconds: float = float("inf"),
    count: int | None = None,
    keep: bool = False,
    pause_s: float = 0.0,
    patience_s: float | None = None,
) -> list[Answer]:
    """`concurrency` senders, each waiting for its answer before it takes the next request.

    They go around `requests` in order, until `count` were sent or `seconds` passed. `keep` holds the replies.
    `pause_s`: how long a sender rests after a failure. `patience_s` takes the place of HANG_S. Returned in
    the order of sending.
    """
    assert count is not None or seconds < float("inf")

    async def sender(
        connection: wire.Connection, numbers: Iterator[int], until: float, answers: list[Answer]
    ) -> None:
        for number in numbers:
            if time.monotonic() >= until:
                return
            asking = asyncio.create_task(_ask(connection, requests, number % len(requests), keep))
            done, _ = await asyncio.wait([asking], timeout=patience_s or HANG_S)
            if not done:
                asking.cancel()
            answer = await asking
            answers.append(answer)
            if not answer.ok and pause_s:
                await asyncio.sleep(pause_s)

    async def run() -> list[Answer]:
        answers: list[Answer] = []
        connection = await wire.connect(address, INFER)
        numbers = iter(range(count)) if count is not None else itertools.count()
        until = time.monotonic() + seconds
        await asyncio.gather(*(sender(connection, numbers, until, answers) for _ in range(concurrency)))
        connection.close()
        return sorted(answers, key=lambda answer: answer.sent_ns)

    return asyncio.run(run())


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Arrival times, in seconds from the beginning."""
    generator = np.random.default_rng(seed)
    gaps = generator.exponential(1 / rate, size=int(rate * seconds * 1.2) + 100)
    times = np.cumsum(gaps)
    return [float(t) for t in times[times < seconds]]


def open_loop(address: str, requests: Sequence[bytes], arrivals: Sequence[float]) -> list[Answer]:
    """Sends at the times of `arrivals` (seconds) whatever became of earlier requests, and waits for all.
    Returned in the order of the schedule."""

    async def run() -> list[Answer]:
        times_ns = [int(each * 1e9) for each in arrivals]
        numbers = [number % len(requests) for number in range(len(arrivals))]
        schedule = Timestamps(times_ns, numbers, FixedSlo(None))
        answers = _Answers(requests)
        async with Pool(address, CONNECTIONS) as pool:
            begin_ns = time.monotonic_ns() + 50_000_000
            end_ns = begin_ns + (times_ns[-1] + 1 if times_ns else 0)
            await Driver(pool, answers, answers, begin_ns, end_ns).run([schedule], Random(0), HANG_S)
        return sorted(answers.answers, key=lambda answer: (answer.due_ns, answer.sent_ns))

    gc.collect()
    gc.disable()  # A look through so many answers would keep others waiting.
    try:
        return asyncio.run(run())
    finally:
        gc.enable()


class _Answers:
    """The requests of an open loop, by their places, and what became of each."""

    def __init__(self, requests: Sequence[bytes]) -> None:
        self._requests = requests
        self.answers: list[Answer] = []

    def get(self, model_id: int, slo_ns: int | None, rows: int, priority: int) -> bytes:
        return self._requests[model_id]

    def enter(
        self, model_id: int, due_ns: int, sent_ns: int, done_ns: int, slo_ns: int | None, reply: wire.Reply
    ) -> Outcome:
        hung = reply is GAVE_UP
        details = "" if hung or reply.status == "OK" else reply.body.decode(errors="replace")
        status = HANG if hung else reply.status
        self.answers.append(Answer(model_id, due_ns, sent_ns, done_ns, status, details))
        return outcome_of(reply, done_ns - sent_ns, slo_ns)
