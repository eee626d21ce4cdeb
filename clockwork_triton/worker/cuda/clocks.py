"""Follows the clock of a GPU, so that whoever wants to know it need not wait for the management library."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from clockwork_triton.nvml import Nvml

# Each look holds a lock of the driver's that launches may wait for.
PERIOD_S = 0.2


class ClockTracker:
    """Looks every `PERIOD_S`, on a thread, from `start` to `stop`, but only while the GPU is `working`: an
    idle one lowers its clock, which says nothing of how fast it will run."""

    def __init__(self, nvml: Nvml | None, pci_bus_id: str) -> None:
        self._nvml = nvml
        self._pci_bus_id = pci_bus_id
        self._stopping = threading.Event()
        self._news: deque[int] = deque(maxlen=1)

    def take(self) -> int:
        """The clock in MHz that was seen since the last call; 0 if nobody has looked, or there is nobody to
        ask."""
        try:
            return self._news.pop()
        except IndexError:
            return 0

    def look(self) -> None:
        if self._nvml is not None and (mhz := self._nvml.clock_mhz(self._pci_bus_id)):
            self._news.append(mhz)

    def start(self, working: Callable[[], bool]) -> None:
        if self._nvml is not None:
            threading.Thread(target=self._run, args=(working,), name="gpu clock", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self, working: Callable[[], bool]) -> None:
        while not self._stopping.wait(PERIOD_S):
            if working():
                self.look()
