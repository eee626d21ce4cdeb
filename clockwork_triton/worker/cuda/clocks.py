"""Follows the clock of a GPU, so that whoever wants to know it need not wait for the management library."""

from __future__ import annotations

import threading
from collections.abc import Callable

from clockwork_triton.nvml import Nvml

PERIOD_S = 0.05


class ClockTracker:
    """Looks every `PERIOD_S`, on a thread that ends with the process, and takes what it sees only while
    `executing`: an idle GPU lowers its clock, which says nothing of how fast it will run.

    `mhz`: as last seen; 0 until then, and where there is nobody to ask.
    """

    def __init__(self, nvml: Nvml | None, pci_bus_id: str, executing: Callable[[], bool]) -> None:
        self._nvml = nvml
        self._pci_bus_id = pci_bus_id
        self._executing = executing
        self._stopping = threading.Event()
        self.mhz = 0

    def look(self) -> None:
        if self._nvml is None or not self._executing():
            return
        mhz = self._nvml.clock_mhz(self._pci_bus_id)
        if mhz and self._executing():
            self.mhz = mhz

    def start(self) -> None:
        if self._nvml is not None:
            threading.Thread(target=self._run, name="gpu clock", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.look()
