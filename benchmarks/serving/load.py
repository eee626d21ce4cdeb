"""Load on a server: requests serialised beforehand, sent as bytes, each accounted for."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from clockwork_triton.bench import wire

INFER = "/inference.GRPCInferenceService/ModelInfer"
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


async def _ask(
    connection: wire.Connection, requests: Sequence[bytes], index: int, due_ns: int | None, keep: bool
) -> Answer:
    sent_ns = time.monotonic_ns()
    due_ns = sent_ns if due_ns is None else due_ns
    try:
        status, body, _ = await connection.call(requests[index])
    except asyncio.CancelledError:
        # By one of the loops below, which gave up on it.
        return Answer(index, due_ns, sent_ns, time.monotonic_ns(), HANG)
    done_ns = time.monotonic_ns()
    if status == "OK":
        return Answer(index, due_ns, sent_ns, done_ns, status, "", body if keep else b"")
    return Answer(index, due_ns, sent_ns, done_ns, status, body.decode(errors="replace"))


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
            asking = asyncio.create_task(_ask(connection, requests, number % len(requests), None, keep))
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
    """Sends at the times of `arrivals` (seconds) whatever became of earlier requests, and waits for all."""

    async def run() -> list[Answer]:
        connections = [await wire.connect(address, INFER) for _ in range(CONNECTIONS)]
        for connection in connections:
            await _ask(connection, requests, 0, None, False)  # settles the connection's settings
        begin_ns = time.monotonic_ns() + 50_000_000
        tasks = []
        for number, arrival in enumerate(arrivals):
            due_ns = begin_ns + int(arrival * 1e9)
            late_ns = time.monotonic_ns() - due_ns
            # Also when it is late, now and then: or sending a backlog would keep answers from being read.
            if late_ns < 0 or number % 16 == 0:
                await asyncio.sleep(max(0, -late_ns) / 1e9)
            asking = _ask(connections[number % CONNECTIONS], requests, number % len(requests), due_ns, False)
            tasks.append(asyncio.create_task(asking))
        _, pending = await asyncio.wait(tasks, timeout=HANG_S)
        for task in pending:
            task.cancel()
        answers = [await task for task in tasks]
        for connection in connections:
            connection.close()
        return answers

    return asyncio.run(run())
