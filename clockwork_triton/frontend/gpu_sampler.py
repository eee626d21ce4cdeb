"""Asks for the states of GPUs where that keeps nobody: on a thread, and only while somebody scrapes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence

from clockwork_triton.event_loop import on_daemon_thread
from clockwork_triton.nvml import GpuState

log = logging.getLogger(__name__)

PERIOD_S = 1.0
"""A scrape sooner than this after another gets what that one got: each asks for the driver's lock, which
those who start kernels want too."""
PATIENCE_S = 2.0


class GpuSampler:
    """`states`: as they were when `sample` last brought them up to date; none before."""

    def __init__(
        self, ask: Callable[[], Sequence[GpuState]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`ask` is called on another thread, by one at a time; `clock` in seconds."""
        self._ask = ask
        self._clock = clock
        self._asked_s: float | None = None
        self._asking: asyncio.Future[Sequence[GpuState]] | None = None
        self.states: Sequence[GpuState] = ()

    async def sample(self, patience_s: float = PATIENCE_S) -> None:
        """Asks, unless that has just been done or is being done. Where no answer comes in that time, a GPU or
        its driver hangs, and the states remain those of before."""
        if self._asking is None:
            now_s = self._clock()
            if self._asked_s is not None and now_s - self._asked_s < PERIOD_S:
                return
            self._asked_s = now_s
            self._asking = on_daemon_thread(self._ask, "GPU states")
            self._asking.add_done_callback(self._answered)
        await asyncio.wait((self._asking,), timeout=patience_s)

    def _answered(self, asking: asyncio.Future[Sequence[GpuState]]) -> None:
        self._asking = None
        if asking.cancelled():
            return
        error = asking.exception()
        if error is not None:
            log.error("GPUs cannot be asked for their state: %s", error)
        self.states = () if error is not None else asking.result()
