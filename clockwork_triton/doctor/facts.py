"""What the checks want to know of this machine, read from the system."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from clockwork_triton.nvml import GpuState, Nvml
from clockwork_triton.worker.cuda import libcuda
from clockwork_triton.worker.cuda.driver import CudaError
from clockwork_triton.worker.cuda.symbols import LIBRARY

_CAP_SYS_NICE = 23


@dataclass(frozen=True)
class Facts:
    """`gpus` as the driver counts them, with `driver_error` where there is none; `states` as the management
    library tells, None where it does not. `cpu_quota`: cores that the control group may use, None: all.
    Limits in bytes or counts, None: unlimited. `compiler`: the path of nvcc."""

    cores: int
    load: float
    cpu_quota: float | None
    governors: frozenset[str]
    huge_pages: str
    memory_available_bytes: int
    locked_memory: int | None
    open_files: int | None
    real_time: bool
    gpus: int
    driver_error: str
    driver_version: str
    states: tuple[GpuState, ...] | None
    compiler: str | None


def gather(
    compiler: Callable[[], str | None], nvml: Nvml | None, root: Path = Path("/"), path: str = LIBRARY
) -> Facts:
    """Reads /proc and /sys below `root`; `path` is the driver library."""
    gpus, driver_error = _count(path)
    return Facts(
        cores=len(os.sched_getaffinity(0)),
        load=float((_read(root / "proc/loadavg") or "0").split()[0]),
        cpu_quota=_quota(_read(root / "sys/fs/cgroup/cpu.max")),
        governors=_governors(root),
        huge_pages=_chosen(_read(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        memory_available_bytes=_available(_read(root / "proc/meminfo")),
        locked_memory=_limit(resource.RLIMIT_MEMLOCK),
        open_files=_limit(resource.RLIMIT_NOFILE),
        real_time=_may_be_real_time(_read(root / "proc/self/status")),
        gpus=gpus,
        driver_error=driver_error,
        driver_version=nvml.driver_version if nvml is not None else "",
        states=tuple(nvml.states()) if nvml is not None else None,
        compiler=compiler(),
    )


def _count(path: str) -> tuple[int, str]:
    try:
        return libcuda.count(path), ""
    except CudaError as error:
        return 0, str(error)


def _read(path: Path) -> str:
    """Empty where the system has no such file."""
    try:
        return path.read_text()
    except OSError:
        return ""


def _quota(text: str) -> float | None:
    """From "200000 100000", microseconds of work in each period, or "max 100000"."""
    fields = text.split()
    if len(fields) != 2 or fields[0] == "max":
        return None
    return int(fields[0]) / int(fields[1])


def _governors(root: Path) -> frozenset[str]:
    pattern = "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return frozenset(found for path in root.glob(pattern) if (found := _read(path).strip()))


def _chosen(text: str) -> str:
    """The word in brackets: "always [madvise] never"."""
    return text.partition("[")[2].partition("]")[0]


def _available(text: str) -> int:
    lines = (line.split() for line in text.splitlines())
    return next((int(words[1]) * 1024 for words in lines if words[:1] == ["MemAvailable:"]), 0)


def _limit(which: int) -> int | None:
    """What a process may raise its limit to."""
    _, hard = resource.getrlimit(which)
    return None if hard == resource.RLIM_INFINITY else hard


def _may_be_real_time(status: str) -> bool:
    lines = (line.split() for line in status.splitlines())
    capabilities = next((int(words[1], 16) for words in lines if words[:1] == ["CapEff:"]), 0)
    return bool(capabilities >> _CAP_SYS_NICE & 1) or _limit(resource.RLIMIT_RTPRIO) != 0
