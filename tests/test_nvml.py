from __future__ import annotations

import sys
import types
from typing import Any

import pytest

from clockwork_triton.frontend.exposition import exposition
from clockwork_triton.frontend.gpu_metrics import gpu_families
from clockwork_triton.nvml import GpuSetup, Nvml


class NVMLError(Exception):
    """`value`: NVML's code, 15 for a GPU that is lost."""

    def __init__(self, text: str, value: int = 3) -> None:
        super().__init__(text)
        self.value = value


def library() -> Any:
    """The module pynvml with two GPUs, of which the second tells less."""

    def of(first: Any) -> Any:
        def ask(handle: int, *_: object) -> Any:
            if handle:
                raise NVMLError("not supported")
            return first

        return ask

    def handle(bus: bytes) -> int:
        if bus != b"0000:17:00.0":
            raise NVMLError("not found")
        return 0

    fields: dict[str, Any] = {
        "NVMLError": NVMLError,
        "NVML_CLOCK_SM": 1,
        "nvmlInit": lambda: None,
        "nvmlSystemGetDriverVersion": lambda: b"580.1",
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetHandleByPciBusId": handle,
        "nvmlDeviceGetName": lambda handle: "NVIDIA Fake",
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}".encode(),
        "nvmlDeviceGetPciInfo": lambda handle: types.SimpleNamespace(busId=b"0000:17:00.0"),
        "nvmlDeviceGetUtilizationRates": of(types.SimpleNamespace(gpu=25)),
        "nvmlDeviceGetMemoryInfo": of(types.SimpleNamespace(total=1 << 30, used=1 << 20)),
        "nvmlDeviceGetPowerUsage": of(70_500),
        "nvmlDeviceGetEnforcedPowerLimit": of(700_000),
        "nvmlDeviceGetTotalEnergyConsumption": of(12_345),
        "nvmlDeviceGetClockInfo": of(1410),
        "nvmlDeviceGetMaxClockInfo": of(1980),
        "nvmlDeviceGetCurrentClocksEventReasons": of(0x8),
        "nvmlDeviceGetPersistenceMode": of(1),
        "nvmlDeviceGetComputeRunningProcesses": of([object(), object()]),
        "nvmlDeviceGetMigMode": of([0, 1]),
        "nvmlDeviceGetComputeMode": of(3),
        "nvmlDeviceGetCurrPcieLinkWidth": of(16),
        "nvmlDeviceGetMaxPcieLinkWidth": of(16),
    }
    return types.SimpleNamespace(**fields)


def test_what_a_gpu_tells_is_in_the_units_of_the_metrics() -> None:
    nvml = Nvml(library())
    first, second = nvml.states()
    assert (first.utilization, first.power_usage, first.power_limit) == (0.25, 70.5, 700.0)
    assert first.energy == pytest.approx(12.345)
    assert first.clock_mhz == 1410
    assert (second.uuid, second.utilization, second.energy) == ("GPU-1", None, None)
    assert nvml.driver_version == "580.1"


def test_how_gpus_are_set_up() -> None:
    first, second = Nvml(library()).setups()
    assert first == GpuSetup(
        0, "NVIDIA Fake", "0000:17:00.0", False, 1 << 30, 0.25, 2, 1410, 1980, 8, True, False, 3, 16, 16
    )
    assert second == GpuSetup(1, "NVIDIA Fake", "0000:17:00.0")


def _raise(error: Exception) -> Any:
    def fail(*_: object) -> None:
        raise error

    return fail


def test_a_lost_gpu_takes_nothing_with_it() -> None:
    """NVML may know it no more, or know it and answer nothing."""
    lost = NVMLError("GPU is lost", 15)
    pynvml = library()
    pynvml.nvmlDeviceGetHandleByIndex = lambda index: _raise(lost)() if index else index
    assert [state.uuid for state in Nvml(pynvml).states()] == ["GPU-0"]
    assert [setup.lost for setup in Nvml(pynvml).setups()] == [False, True]
    pynvml = library()
    nvml = Nvml(pynvml)
    assert len(nvml.states()) == 2
    for name in ("ClockInfo", "MemoryInfo", "UtilizationRates", "UUID"):
        setattr(pynvml, f"nvmlDeviceGet{name}", _raise(lost))
    assert [setup.lost for setup in nvml.setups()] == [True, True]
    assert [(state.uuid, state.clock_mhz) for state in nvml.states()] == [("GPU-0", None), ("GPU-1", None)]
    assert Nvml(pynvml).states() == []


def test_a_driver_that_has_gone_wrong_knows_no_gpus() -> None:
    pynvml = library()
    pynvml.nvmlDeviceGetCount = pynvml.nvmlSystemGetDriverVersion = _raise(NVMLError("unknown", 999))
    nvml = Nvml(pynvml)
    assert (nvml.driver_version, nvml.states(), nvml.setups()) == ("", [], [])


def test_what_an_old_package_or_driver_does_not_have_is_not_told() -> None:
    pynvml = library()
    del pynvml.nvmlDeviceGetMigMode, pynvml.nvmlDeviceGetCurrentClocksEventReasons
    first, _ = Nvml(pynvml).setups()
    assert (first.sliced, first.reasons) == (None, None)
    pynvml.nvmlDeviceGetCurrentClocksThrottleReasons = lambda handle: 0x4
    assert Nvml(pynvml).setups()[0].reasons == 0x4


def test_the_metrics_have_tritons_names_and_leave_out_what_a_gpu_does_not_tell() -> None:
    lines = exposition(list(gpu_families(Nvml(library()).states()))).splitlines()
    samples = [line for line in lines if not line.startswith("#")]
    assert samples == [
        'nv_gpu_utilization{gpu_uuid="GPU-0"} 0.25',
        'nv_gpu_memory_total_bytes{gpu_uuid="GPU-0"} 1073741824',
        'nv_gpu_memory_used_bytes{gpu_uuid="GPU-0"} 1048576',
        'nv_gpu_power_usage{gpu_uuid="GPU-0"} 70.5',
        'nv_gpu_power_limit{gpu_uuid="GPU-0"} 700',
        'nv_energy_consumption{gpu_uuid="GPU-0"} 12.345',
        'clockwork_gpu_clock_mhz{gpu_uuid="GPU-0"} 1410',
    ]
    assert "# TYPE nv_energy_consumption counter" in lines


def test_without_the_package_or_a_driver_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Nvml.open() is None

    def fail() -> None:
        raise NVMLError("no driver")

    broken = library()
    broken.nvmlInit = fail
    monkeypatch.setitem(sys.modules, "pynvml", broken)
    assert Nvml.open() is None
    monkeypatch.setitem(sys.modules, "pynvml", library())
    assert Nvml.open() is not None


def test_the_clock_of_one_gpu_is_asked_for_by_its_bus_id() -> None:
    nvml = Nvml(library())
    assert [nvml.clock_mhz(bus) for bus in ("0000:17:00.0", "0000:99:00.0")] == [1410, 0]
