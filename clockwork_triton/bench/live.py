"""One line that says how it goes, every second."""

from __future__ import annotations

import asyncio
import time
from typing import TextIO

import numpy as np

from clockwork_triton.bench.driver import Driver
from clockwork_triton.bench.ledger import Ledger, Outcome
from clockwork_triton.bench.summary import percentiles_ms

PERIOD_S = 1.0


class LiveLine:
    """Rewrites one line of a terminal until it is cancelled."""

    def __init__(self, driver: Driver, ledger: Ledger, stream: TextIO) -> None:
        self._driver = driver
        self._ledger = ledger
        self._stream = stream
        self._begin = time.monotonic()
        self._offered = 0
        self._ended = 0
        self._counts = list(ledger.counts)

    async def run(self) -> None:
        try:
            while True:
                await asyncio.sleep(PERIOD_S)
                self._stream.write(f"\r\x1b[K{self.text()}")
                self._stream.flush()
        finally:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def text(self) -> str:
        """Since the last call."""
        ledger = self._ledger
        offered, ended = self._driver.offered, len(ledger)
        good, late, refused, failed, lost = (
            now - before for now, before in zip(ledger.counts, self._counts, strict=True)
        )
        recent = range(self._ended, ended)
        times = [ledger.done[n] - ledger.sent[n] for n in recent if ledger.outcomes[n] <= Outcome.LATE]
        p99 = percentiles_ms(np.array(times, dtype=np.int64))[2]
        text = (
            f"{time.monotonic() - self._begin:4.0f} s  sent {offered - self._offered:,}/s  good {good:,}/s"
            f"  late {late:,}  refused {refused:,}  failed {failed + lost:,}"
            f"  open {self._driver.in_flight:,}  p99 {p99:.2f} ms"
        )
        self._offered, self._ended, self._counts = offered, ended, list(ledger.counts)
        return text
