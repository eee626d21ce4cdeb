"""One run: connections, requests, workloads and a ledger brought together on an event loop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import selectors
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import TextIO

from clockwork_triton.bench.driver import SECOND, Driver
from clockwork_triton.bench.ledger import Ledger
from clockwork_triton.bench.live import LiveLine
from clockwork_triton.bench.models import Model
from clockwork_triton.bench.plan import Plan, workloads
from clockwork_triton.bench.pool import Pool
from clockwork_triton.bench.requests import RequestBook, Row
from clockwork_triton.bench.summary import Summary, summarise

_START_NS = 50_000_000
"""Between the decision to begin and the beginning."""


@dataclass(frozen=True)
class Settings:
    """`seconds` that count come after `warmup_s` that do not. `patience_s`: for the last answers. `live`: a
    terminal."""

    address: str
    seconds: float = 10.0
    warmup_s: float = 1.0
    patience_s: float = 30.0
    connections: int = 8
    seed: int = 0
    live: TextIO | None = None


@dataclass(frozen=True)
class Run:
    """`begin_ns`, `end_ns`: of what counts. `cpu`: that the client used, of one core."""

    ledger: Ledger
    begin_ns: int
    end_ns: int
    cpu: float
    plan: Plan

    def summary(self, begin_ns: int | None = None, end_ns: int | None = None) -> Summary:
        """Of all that counts, or of a part of the time."""
        return summarise(
            self.ledger,
            len(self.plan.slos_ns),
            self.begin_ns if begin_ns is None else begin_ns,
            self.end_ns if end_ns is None else end_ns,
            open_loop=self.plan.kind != "closed-loop",
            cpu=self.cpu,
        )


def run(settings: Settings, models: Sequence[Model], rows: Sequence[Sequence[Row]], plan: Plan) -> Run:
    """Drives the server; BenchError if it cannot be reached. Not to be called from an event loop."""
    # select() sleeps for microseconds where epoll() sleeps for milliseconds.
    loop = asyncio.SelectorEventLoop(selectors.SelectSelector())
    try:
        return loop.run_until_complete(_run(settings, models, rows, plan))
    finally:
        loop.close()


async def _run(settings: Settings, models: Sequence[Model], rows: Sequence[Sequence[Row]], plan: Plan) -> Run:
    book, ledger, made = RequestBook(models, rows), Ledger(), workloads(plan)
    for model_id, slo_ns in enumerate(plan.slos_ns):
        # Made now, so that making them does not delay the first.
        book.get(model_id, slo_ns, plan.rows, plan.priority)
    async with Pool(settings.address, settings.connections) as pool:
        # A collection takes as long as it has objects to look at.
        gc.collect()
        gc.freeze()
        begin_ns = time.monotonic_ns() + _START_NS
        end_ns = begin_ns + round((settings.warmup_s + settings.seconds) * SECOND)
        driver = Driver(pool, book, ledger, begin_ns, end_ns)
        cpu, wall = time.process_time(), time.monotonic()
        async with _shown(driver, ledger, settings.live):
            await driver.run(made, Random(settings.seed), settings.patience_s)
        cpu = (time.process_time() - cpu) / (time.monotonic() - wall)
    gc.unfreeze()
    return Run(ledger, begin_ns + round(settings.warmup_s * SECOND), end_ns, cpu, plan)


@contextlib.asynccontextmanager
async def _shown(driver: Driver, ledger: Ledger, stream: TextIO | None) -> AsyncIterator[None]:
    if stream is None:
        yield
        return
    line = asyncio.create_task(LiveLine(driver, ledger, stream).run())
    try:
        yield
    finally:
        line.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await line
