"""Fake drivers for what is measured: they share a clock, and threads may call them beside each other."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from clockwork_triton.worker.cuda.driver import Driver
from tests.worker.cuda.fake_driver import Clock, FakeDriver, Kernel

NS_PER_BYTE = 0.02


class SharedDriver(FakeDriver):
    """One call at a time, but for those of `unlocked`."""

    unlocked: frozenset[str] = frozenset({"clock"})

    def __init__(self, clock: Clock, kernels: dict[str, Kernel]) -> None:
        self._lock = threading.RLock()
        super().__init__(clock, kernels)
        self.ns_per_byte = NS_PER_BYTE

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name.startswith("_") or not callable(found) or name in type(self).unlocked:
            return found
        lock = super().__getattribute__("_lock")

        def locked(*arguments: Any) -> Any:
            with lock:
                return found(*arguments)

        return locked


class FakeGpu:
    """Opens drivers of a kind."""

    def __init__(self, kernels: Mapping[str, Kernel], kind: type[FakeDriver] = SharedDriver) -> None:
        self.clock = Clock()
        self.opened: list[FakeDriver] = []
        self._kernels = dict(kernels)
        self._kind = kind

    def open(self) -> Driver:
        driver = self._kind(self.clock, self._kernels)
        self.opened.append(driver)
        return driver

    @property
    def device(self) -> dict[str, Any]:
        """For CudaDevice."""
        return {"clock": self.clock, "sleep": self.clock.sleep}
