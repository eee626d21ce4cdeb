"""The streams and events of a worker's GPU, and waiting for them."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from clockwork_triton.worker.cuda.driver import Driver

# CUDA heeds priorities among kernels, not among copies between host and device: that inputs wait for little
# behind weights comes of the small pieces of a LOAD, few of which are under way.
EXECUTION_PRIORITY = 0
WEIGHTS_PRIORITY = 0
INPUT_PRIORITY = 1
OUTPUT_PRIORITY = 1

# A wait sleeps until so long before it is expected to end, then looks again and again: the system wakes a
# sleeper some tens of microseconds late.
SPIN_NS = 150_000
# Nor does it sleep longer without a look: what took long last may not take long again.
SLEEP_NS = 1_000_000
# Where it takes so many times as long as expected, it naps between looks, and leaves the core to others.
PATIENCE = 2
NAP_S = 20e-6

_DONE = object()


@dataclass(frozen=True)
class Streams:
    execution: int
    weights: int
    inputs: int
    outputs: int

    @classmethod
    def of(cls, driver: Driver) -> Streams:
        return cls(
            driver.stream(EXECUTION_PRIORITY),
            driver.stream(WEIGHTS_PRIORITY),
            driver.stream(INPUT_PRIORITY),
            driver.stream(OUTPUT_PRIORITY),
        )


@dataclass(frozen=True)
class Span:
    """The events around a stage."""

    begin: int
    end: int

    @classmethod
    def of(cls, driver: Driver) -> Span:
        return cls(driver.event(), driver.event())


class Waiter:
    """Waits for events by looking, so that no thread of the driver's stands between the GPU and us."""

    def __init__(
        self,
        driver: Driver,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._driver = driver
        self._clock = clock
        self._sleep = sleep

    def wait(self, event: int, expected_ns: int = 0, meanwhile: Iterator[None] | None = None) -> int:
        """Until the event has happened, which is expected to take so long (0: nobody knows); when that was
        seen. `meanwhile`: something to do piece by piece until then. CudaError."""
        begin_ns = self._clock()
        while not self._driver.happened(event):
            if meanwhile is not None and next(meanwhile, _DONE) is not _DONE:
                continue
            waited_ns = self._clock() - begin_ns
            if waited_ns < expected_ns - SPIN_NS:
                self._sleep(min(expected_ns - SPIN_NS - waited_ns, SLEEP_NS) / 1e9)
            elif waited_ns < PATIENCE * expected_ns:
                # Not a sleep of no time: from Python 3.11 on that takes the system tens of microseconds.
                os.sched_yield()
            else:
                self._sleep(NAP_S)
        return self._clock()

    def span(self, span: Span, expected_ns: int = 0) -> tuple[int, int]:
        """Waits for the end; begin and end by our clock, as far apart as the GPU measured them."""
        end_ns = self.wait(span.end, expected_ns)
        return end_ns - self._driver.elapsed_ns(span.begin, span.end), end_ns
