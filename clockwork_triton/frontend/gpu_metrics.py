"""What the metrics tell of GPUs: Triton's nv_gpu_* families, and the clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from clockwork_triton.frontend.exposition import Family
from clockwork_triton.nvml import GpuState

# By the field of GpuState: name, kind and help.
FAMILIES: tuple[tuple[str, str, str, str], ...] = (
    ("utilization", "nv_gpu_utilization", "gauge", "GPU utilization rate [0.0 - 1.0)"),
    ("memory_total_bytes", "nv_gpu_memory_total_bytes", "gauge", "GPU total memory, in bytes"),
    ("memory_used_bytes", "nv_gpu_memory_used_bytes", "gauge", "GPU used memory, in bytes"),
    ("power_usage", "nv_gpu_power_usage", "gauge", "GPU power usage in watts"),
    ("power_limit", "nv_gpu_power_limit", "gauge", "GPU power management limit in watts"),
    (
        "energy",
        "nv_energy_consumption",
        "counter",
        "GPU energy consumption in joules since the driver was loaded",
    ),
    ("clock_mhz", "clockwork_gpu_clock_mhz", "gauge", "Clock of the GPU's multiprocessors"),
)


def gpu_families(states: Iterable[GpuState]) -> Iterator[Family]:
    """A GPU is missing from the families of what it does not tell."""
    gpus = list(states)
    for field, name, kind, text in FAMILIES:
        family = Family(name, kind, text)
        for gpu in gpus:
            value = getattr(gpu, field)
            if value is not None:
                family.add({"gpu_uuid": gpu.uuid}, value)
        yield family
