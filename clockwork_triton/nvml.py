"""What NVIDIA's management library tells of GPUs; nothing where it, or the package for it, is missing.

Every question takes a lock of the driver and may be answered after tens of milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

# Bits of the reasons for which a GPU does not run at its highest clock.
CLOCK_SETTING = 0x2
POWER_CAP = 0x4
SLOWDOWNS = 0x8 | 0x20 | 0x40 | 0x80
"""By heat or by a weak supply of power."""

# Who may use a GPU.
EXCLUSIVE_MODES = (1, 3)
PROHIBITED_MODE = 2

_GPU_IS_LOST = 15


@dataclass(frozen=True)
class GpuState:
    """What changes while one GPU is used; None is what it does not tell. Power in watts, energy in joules
    since the driver was loaded, utilization from 0 to 1, the clock of the multiprocessors in MHz."""

    uuid: str
    utilization: float | None
    memory_total_bytes: int | None
    memory_used_bytes: int | None
    power_usage: float | None
    power_limit: float | None
    energy: float | None
    clock_mhz: int | None


@dataclass(frozen=True)
class GpuSetup:
    """How one GPU is set up, and what it was doing when it was asked; None is what it does not tell. `lost`:
    the driver cannot reach it any more. `processes`: how many have a context on it."""

    index: int
    name: str = ""
    pci_bus_id: str = ""
    lost: bool = False
    memory_bytes: int | None = None
    utilization: float | None = None
    processes: int | None = None
    clock_mhz: int | None = None
    max_clock_mhz: int | None = None
    reasons: int | None = None
    persistent: bool | None = None
    sliced: bool | None = None
    compute_mode: int | None = None
    link_width: int | None = None
    max_link_width: int | None = None


Ask = Callable[..., Any]
"""Of a GPU, by the end of the function's name; None where it does not tell."""


class Nvml:
    """The library, opened. `library`: the module pynvml, of the package nvidia-ml-py."""

    def __init__(self, library: Any) -> None:
        self._library = library
        self._handles: dict[str, Any] = {}
        self._known: dict[int, tuple[Any, str]] = {}
        """Handle and UUID of the GPUs that have been asked."""

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
        return _text(self._ask("nvmlSystemGetDriverVersion") or "")

    def count(self) -> int:
        """The GPUs that the driver knows, lost ones too."""
        return self._ask("nvmlDeviceGetCount") or 0

    def states(self) -> list[GpuState]:
        """Of every GPU that can be reached."""
        return list(self._states())

    def setups(self) -> list[GpuSetup]:
        """Of every GPU, in the driver's order, which is that of the bus."""
        return [self._setup(index) for index in range(self.count())]

    def clock_mhz(self, pci_bus_id: str) -> int:
        """The clock of the multiprocessors of one GPU now; 0 where it does not tell."""
        handle = self._handles.get(pci_bus_id)
        if handle is None:
            handle = self._ask("nvmlDeviceGetHandleByPciBusId", pci_bus_id.encode())
            if handle is None:
                return 0
            self._handles[pci_bus_id] = handle
        return self._ask("nvmlDeviceGetClockInfo", handle, self._library.NVML_CLOCK_SM) or 0

    def _ask(self, name: str, *arguments: Any, failed: Callable[[Any], None] = lambda error: None) -> Any:
        """None where this GPU, this driver or this version of the package does not know that."""
        function = getattr(self._library, name, None)
        if function is None:
            return None
        try:
            return function(*arguments)
        except self._library.NVMLError as error:
            failed(error)
            return None

    def _states(self) -> Iterator[GpuState]:
        for index in range(self.count()):
            if index not in self._known:
                handle = self._ask("nvmlDeviceGetHandleByIndex", index)
                uuid = self._ask("nvmlDeviceGetUUID", handle) if handle is not None else None
                if uuid is None:
                    continue
                self._known[index] = handle, _text(uuid)
            yield self._state(*self._known[index])

    def _state(self, handle: Any, uuid: str) -> GpuState:
        def ask(name: str, *arguments: Any) -> Any:
            return self._ask(f"nvmlDeviceGet{name}", handle, *arguments)

        memory = ask("MemoryInfo")
        return GpuState(
            uuid,
            _utilization(ask),
            getattr(memory, "total", None),
            getattr(memory, "used", None),
            _scaled(ask("PowerUsage"), 1e-3),
            _scaled(ask("EnforcedPowerLimit"), 1e-3),
            _scaled(ask("TotalEnergyConsumption"), 1e-3),
            ask("ClockInfo", self._library.NVML_CLOCK_SM),
        )

    def _setup(self, index: int) -> GpuSetup:
        errors: list[Any] = []
        handle = self._ask("nvmlDeviceGetHandleByIndex", index, failed=errors.append)
        if handle is None:
            return GpuSetup(index, lost=True)

        def ask(name: str, *arguments: Any) -> Any:
            return self._ask(f"nvmlDeviceGet{name}", handle, *arguments, failed=errors.append)

        processes, slicing = ask("ComputeRunningProcesses"), ask("MigMode")
        setup = GpuSetup(
            index,
            _text(ask("Name") or ""),
            _text(getattr(ask("PciInfo"), "busId", "")),
            memory_bytes=getattr(ask("MemoryInfo"), "total", None),
            utilization=_utilization(ask),
            processes=None if processes is None else len(processes),
            clock_mhz=ask("ClockInfo", self._library.NVML_CLOCK_SM),
            max_clock_mhz=ask("MaxClockInfo", self._library.NVML_CLOCK_SM),
            reasons=_reasons(ask),
            persistent=_truth(ask("PersistenceMode")),
            sliced=None if slicing is None else bool(slicing[0]),
            compute_mode=ask("ComputeMode"),
            link_width=ask("CurrPcieLinkWidth"),
            max_link_width=ask("MaxPcieLinkWidth"),
        )
        if any(getattr(error, "value", None) == _GPU_IS_LOST for error in errors):
            return GpuSetup(index, setup.name, setup.pci_bus_id, lost=True)
        return setup


def _utilization(ask: Ask) -> float | None:
    return _scaled(getattr(ask("UtilizationRates"), "gpu", None), 1e-2)


def _reasons(ask: Ask) -> int | None:
    """By the name of drivers since 535, or by the one before."""
    reasons: int | None = ask("CurrentClocksEventReasons")
    if reasons is None:
        reasons = ask("CurrentClocksThrottleReasons")
    return reasons


def _text(value: Any) -> str:
    """Older versions of the package give bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)


def _truth(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor
