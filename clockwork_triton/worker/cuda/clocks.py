"""Follows the clock of a GPU, so that whoever wants to know it need not wait for the management library."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from clockwork_triton.nvml import Nvml

# Each look holds a lock of the driver's that launches may wait for.
PERIOD_S = 0.2
# A GPU that was idle takes up to some tenths of a second of work to raise its clock.
LOOKS = 3


class ClockTracker:
    """Looks every `PERIOD_S`, on a thread, from `start` to `stop`, but only while the GPU is `working`: an
    idle one lowers its clock, which says nothing of how fast it will run.

    Nor does one that has just begun to work, and is still raising it. So a clock is believed where `LOOKS`
    looks at the same stretch of work have seen none higher: a rise at once, a fall when it has lasted.
    """

    def __init__(self, nvml: Nvml | None, pci_bus_id: str) -> None:
        self._nvml = nvml
        self._pci_bus_id = pci_bus_id
        self._stopping = threading.Event()
        self._looks: deque[int] = deque(maxlen=LOOKS)
        self._news: deque[int] = deque(maxlen=1)

    def take(self) -> int:
        """The clock in MHz, if it has been seen since the last call and is believed; 0 if not, or if there is
        nobody to ask."""
        try:
            return self._news.pop()
        except IndexError:
            return 0

    def look(self, working: bool) -> None:
        """To be called every `PERIOD_S`, with whether the GPU is working."""
        if not working:
            # What nobody has taken by now would be told of a later stretch.
            self._looks.clear()
            self._news.clear()
        elif self._nvml is not None and (mhz := self._nvml.clock_mhz(self._pci_bus_id)):
            self._looks.append(mhz)
            if len(self._looks) == LOOKS and mhz == max(self._looks):
                self._news.append(mhz)

    def start(self, working: Callable[[], bool]) -> None:
        if self._nvml is not None:
            threading.Thread(target=self._run, args=(working,), name="gpu clock", daemon=True).start()

    def stop(self) -> None:
        self._stopping.set()

    def _run(self, working: Callable[[], bool]) -> None:
        while not self._stopping.wait(PERIOD_S):
            self.look(working())
