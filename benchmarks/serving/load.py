"""Load on a server: requests serialised beforehand, sent as bytes, each accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from clockwork_triton.bench import wire

INFER = "/inference.GRPCInferenceService/ModelInfer"
CONNECTIONS = 8
"""Of an open loop, so that no limit on the streams of one holds requests back."""
BATCH = 32
"""So many requests at most are sent between two looks at the answers."""
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
    """Sends at the times of `arrivals` (seconds) whatever became of earlier requests, and waits for all."""

    async def run() -> list[Answer]:
        connections = [await wire.connect(address, INFER) for _ in range(CONNECTIONS)]
        for connection in connections:
            await connection.settled()
        begin_ns = time.monotonic_ns() + 50_000_000
        schedule = _Schedule(connections, requests, [begin_ns + int(each * 1e9) for each in arrivals])
        answers = await schedule.run()
        for connection in connections:
            connection.close()
        return answers

    gc.collect()
    gc.disable()  # A look through so many answers would keep others waiting.
    try:
        return asyncio.run(run())
    finally:
        gc.enable()


class _Schedule:
    """Requests sent at the times they are due, and what became of them."""

    def __init__(
        self, connections: Sequence[wire.Connection], requests: Sequence[bytes], due_ns: Sequence[int]
    ) -> None:
        self._connections = connections
        self._requests = requests
        self._due_ns = due_ns
        self._sent_ns: list[int] = []
        self._answers: dict[int, Answer] = {}
        self._all_there = asyncio.Event()

    async def run(self) -> list[Answer]:
        """In the order of the schedule."""
        if self._due_ns:
            self._go_on()
            patience_s = (self._due_ns[-1] - time.monotonic_ns()) / 1e9 + HANG_S
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._all_there.wait(), patience_s)
        hung = wire.Reply(HANG, b"", False)
        for number in range(len(self._sent_ns)):
            if number not in self._answers:
                self._done(number, hung)
        return [self._answers[number] for number in range(len(self._sent_ns))]

    def _go_on(self) -> None:
        """Sends what is due, some at a time, so that answers are read however late the schedule is."""
        loop = asyncio.get_running_loop()
        for _ in range(BATCH):
            number = len(self._sent_ns)
            if number == len(self._due_ns):
                break
            if self._due_ns[number] > time.monotonic_ns():
                loop.call_at(self._due_ns[number] / 1e9, self._go_on)
                break
            self._sent_ns.append(time.monotonic_ns())
            request = self._requests[number % len(self._requests)]
            self._connections[number % len(self._connections)].send(request, partial(self._done, number))
        else:
            loop.call_soon(self._go_on)
        for connection in self._connections:
            connection.flush()

    def _done(self, number: int, reply: wire.Reply) -> None:
        details = "" if reply.status == "OK" else reply.body.decode(errors="replace")
        self._answers[number] = Answer(
            number % len(self._requests),
            self._due_ns[number],
            self._sent_ns[number],
            time.monotonic_ns(),
            reply.status,
            details,
        )
        if len(self._answers) == len(self._due_ns):
            self._all_there.set()
