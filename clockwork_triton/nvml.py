"""What NVIDIA's management library tells of GPUs; nothing where it, or the package for it, is missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

# Bits of the reasons for which a GPU does not run at its highest clock.
IDLE = 0x1
POWER_CAP = 0x4
SLOWDOWNS = 0x8 | 0x20 | 0x40 | 0x80
"""By heat or by a weak supply of power."""


@dataclass(frozen=True)
class GpuState:
    """One GPU now; None is what it does not tell. Power in watts, energy in joules since the driver was
    loaded, utilization from 0 to 1, clocks of the multiprocessors in MHz."""

    index: int
    name: str
    uuid: str
    pci_bus_id: str
    utilization: float | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    power_usage: float | None
    power_limit: float | None
    energy: float | None
    clock_mhz: int | None
    max_clock_mhz: int | None
    reasons: int | None
    persistent: bool | None
    link_generation: int | None
    max_link_generation: int | None
    link_width: int | None
    max_link_width: int | None


class Nvml:
    """The library, opened. `library`: the module pynvml, of the package nvidia-ml-py."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handles: dict[str, Any] = {}

    @classmethod
    def open(cls) -> Nvml | None:
        """None where there is no GPU, no driver or no package."""
        try:
            import pynvml

            pynvml.nvmlInit()
        except Exception:  # the package's error for a missing library is known only to itself
            return None
        return cls(pynvml)

    @property
    def driver_version(self) -> str:
        return _text(self._library.nvmlSystemGetDriverVersion())

    def states(self) -> Iterator[GpuState]:
        """Of every GPU that the driver knows."""
        for index in range(self._library.nvmlDeviceGetCount()):
            yield self._state(index)

    def clock_mhz(self, pci_bus_id: str) -> int:
        """The clock of the multiprocessors of one GPU now; 0 where it does not tell."""
        handle = self._handles.get(pci_bus_id)
        if handle is None:
            handle = self._ask("nvmlDeviceGetHandleByPciBusId", pci_bus_id.encode())
            if handle is None:
                return 0
            self._handles[pci_bus_id] = handle
        return self._ask("nvmlDeviceGetClockInfo", handle, self._library.NVML_CLOCK_SM) or 0

    def _ask(self, name: str, *arguments: Any) -> Any:
        """None where this GPU or this driver does not know that."""
        try:
            return getattr(self._library, name)(*arguments)
        except self._library.NVMLError:
            return None

    def _state(self, index: int) -> GpuState:
        handle = self._library.nvmlDeviceGetHandleByIndex(index)

        def ask(name: str, *arguments: Any) -> Any:
            return self._ask(f"nvmlDeviceGet{name}", handle, *arguments)

        usage, memory, persistence = ask("UtilizationRates"), ask("MemoryInfo"), ask("PersistenceMode")
        clock = self._library.NVML_CLOCK_SM
        return GpuState(
            index,
            _text(ask("Name") or ""),
            _text(ask("UUID") or ""),
            _text(getattr(ask("PciInfo"), "busId", "")),
            None if usage is None else usage.gpu / 100,
            None if memory is None else memory.total,
            None if memory is None else memory.used,
            _scaled(ask("PowerUsage"), 1e-3),
            _scaled(ask("EnforcedPowerLimit"), 1e-3),
            _scaled(ask("TotalEnergyConsumption"), 1e-3),
            ask("ClockInfo", clock),
            ask("MaxClockInfo", clock),
            ask("CurrentClocksEventReasons"),
            None if persistence is None else bool(persistence),
            ask("CurrPcieLinkGeneration"),
            ask("MaxPcieLinkGeneration"),
            ask("CurrPcieLinkWidth"),
            ask("MaxPcieLinkWidth"),
        )


def _text(value: Any) -> str:
    """Older versions of the package give bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
