"""Follows the clock of a GPU, so that whoever wants to know it need not wait for the management library."""

from __future__ import annotations

import threading
from collections.abc import Callable

from clockwork_triton.nvml import Nvml

PERIOD_S = 0.05


class ClockTracker:
    """Looks every `PERIOD_S` on a thread that ends with the process; 0 MHz where there is nobody to ask."""

    def __init__(self, nvml: Nvml | None, pci_bus_id: str) -> None:
        self._nvml = nvml
        self._pci_bus_id = pci_bus_id
        self._stopping = threading.Event()
        self.mhz = 0
        self.look()

    def look(self) -> None:
        if self._nvml is not None:
            self.mhz = self._nvml.clock_mhz(self._pci_bus_id)

    def start(self) -> Callable[[], int]:
        """Begins to follow it; the function tells the clock as last seen."""
        if self._nvml is not None:
            threading.Thread(target=self._run, name="gpu clock", daemon=True).start()
        return lambda: self.mhz

    def stop(self) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.look()
