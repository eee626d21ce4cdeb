"""What the checks want to know of this machine, read from the system."""

from __future__ import annotations

import os
import re
import resource
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from clockwork_triton.doctor.control_group import cpu_quota, memory_limit
from clockwork_triton.doctor.files import chosen, read, value_of
from clockwork_triton.nvml import GpuSetup, Nvml
from clockwork_triton.worker.cores import Cores, cores_near, read_cores
from clockwork_triton.worker.cuda import libcuda
from clockwork_triton.worker.cuda.driver import CudaError, NoDriverError
from clockwork_triton.worker.cuda.symbols import LIBRARY, cuda_version
from clockwork_triton.worker.cuda.version import Version
from clockwork_triton.worker.cuda.visible import visible
from clockwork_triton.worker.process import WAKE_LATENCY
from clockwork_triton.worker.suitability import OLDEST

_CAP_SYS_NICE = 23
_ALL_PROCESSES = "pid:[4026531836]"
"""The name of the outermost namespace of processes, the same on every Linux."""
_PATIENCE_S = 10.0


@dataclass(frozen=True)
class DriverFacts:
    """`gpus` as the driver counts them; where it does not work, `error` says what it says, with its `status`.
    `cuda`: which it has. `visible`: the GPUs that the environment names, None: all. `old`: the compute
    capabilities of those for which nothing can be compiled, by number."""

    gpus: int = 0
    missing: bool = False
    error: str = ""
    status: int = 0
    cuda: Version | None = None
    version: str = ""
    visible: str | None = None
    old: Mapping[int, Version] = field(default_factory=dict)

    @property
    def used(self) -> int:
        """The GPUs that a server takes."""
        return self.gpus - len(self.old)


@dataclass(frozen=True)
class Facts:
    """`setups` as the management library tells, None where it does not, and the cores `near` each of them.
    `sees_processes`: those of the whole machine, not of a container alone. `cpu_quota`: cores that the
    control group may use, None: all. `real_time_pause_us`: in which real-time threads are stopped each
    second. `wake_us`: how long a core that sleeps takes to come back, None where the system does not tell;
    `may_keep_awake`: whether a worker can have none sleep. Limits in bytes or counts, None: unlimited.
    `compiler`: the path of nvcc, `host_compiler`: of the one that it calls."""

    cores: Cores
    load: float
    cpu_quota: float | None
    governors: frozenset[str]
    huge_pages: str
    memory_available_bytes: int
    memory_limit: int | None
    locked_memory: int | None
    open_files: int | None
    real_time: bool
    real_time_pause_us: int
    wake_us: int | None
    may_keep_awake: bool
    driver: DriverFacts
    setups: tuple[GpuSetup, ...] | None
    near: tuple[frozenset[int], ...]
    sees_processes: bool
    compiler: str | None
    host_compiler: str | None
    compiler_cuda: Version | None


def gather(
    compiler: Callable[[], str | None],
    nvml: Nvml | None,
    root: Path = Path("/"),
    path: str = LIBRARY,
    *,
    host_compiler: Callable[[], str | None] = lambda: None,
) -> Facts:
    """Reads /proc and /sys below `root`; `path` is the driver library, `compiler` finds nvcc, `host_compiler`
    what it calls."""
    setups = tuple(nvml.setups()) if nvml is not None else None
    nvcc = compiler()
    return Facts(
        cores=read_cores(root),
        load=float((read(root / "proc/loadavg") or "0").split()[0]),
        cpu_quota=cpu_quota(root),
        governors=_governors(root),
        huge_pages=chosen(read(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        memory_available_bytes=int(value_of(read(root / "proc/meminfo"), "MemAvailable") or 0) * 1024,
        memory_limit=memory_limit(root),
        locked_memory=_limit(resource.RLIMIT_MEMLOCK),
        open_files=_limit(resource.RLIMIT_NOFILE),
        real_time=_may_be_real_time(read(root / "proc/self/status")),
        real_time_pause_us=_real_time_pause_us(root / "proc/sys/kernel"),
        wake_us=_wake_us(root / "sys/devices/system/cpu/cpu0/cpuidle"),
        may_keep_awake=os.access(root / WAKE_LATENCY.relative_to("/"), os.W_OK),
        driver=_driver(path, nvml),
        setups=setups,
        near=tuple(cores_near(setup.pci_bus_id, root) for setup in setups or ()),
        sees_processes=_sees_processes(root / "proc/self/ns/pid"),
        compiler=nvcc,
        host_compiler=host_compiler(),
        compiler_cuda=_compiler_cuda(nvcc) if nvcc is not None else None,
    )


def _driver(path: str, nvml: Nvml | None) -> DriverFacts:
    gpus, missing, error, status, old = 0, False, "", 0, {}
    try:
        gpus = libcuda.count(path)
        capabilities = {gpu: libcuda.facts(gpu, path).capability for gpu in range(gpus)}
        old = {gpu: capability for gpu, capability in capabilities.items() if capability < OLDEST}
    except CudaError as failure:
        missing = isinstance(failure, NoDriverError)
        error, status = str(failure), failure.status
    version = nvml.driver_version if nvml is not None else ""
    return DriverFacts(gpus, missing, error, status, cuda_version(path), version, visible(), old)


def _governors(root: Path) -> frozenset[str]:
    pattern = "sys/devices/system/cpu/cpu*/cpufreq/scaling_governor"
    return frozenset(found for path in root.glob(pattern) if (found := read(path).strip()))


def _limit(which: int) -> int | None:
    """What a process may raise its limit to."""
    _, hard = resource.getrlimit(which)
    return None if hard == resource.RLIM_INFINITY else hard


def _may_be_real_time(status: str) -> bool:
    capabilities = int(value_of(status, "CapEff") or "0", 16)
    return bool(capabilities >> _CAP_SYS_NICE & 1) or _limit(resource.RLIMIT_RTPRIO) != 0


def _real_time_pause_us(kernel: Path) -> int:
    """Of each second; 0 where the system does not stop such threads (-1)."""
    runtime_us = int(read(kernel / "sched_rt_runtime_us") or -1)
    period_us = int(read(kernel / "sched_rt_period_us") or 1_000_000)
    return 0 if runtime_us < 0 else max(0, period_us - runtime_us) * 1_000_000 // period_us


def _wake_us(states: Path) -> int | None:
    """From the deepest sleep that is not disabled."""
    allowed = [state for state in states.glob("state*") if read(state / "disable").strip() != "1"]
    return max((int(read(state / "latency") or 0) for state in allowed), default=None)


def _sees_processes(namespace: Path) -> bool:
    try:
        return os.readlink(namespace) == _ALL_PROCESSES
    except OSError:
        return False


def _compiler_cuda(compiler: str) -> Version | None:
    """From "Cuda compilation tools, release 12.8, V12.8.93"; None where it does not say."""
    try:
        done = subprocess.run(
            [compiler, "--version"], capture_output=True, text=True, check=False, timeout=_PATIENCE_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r"release (\d+)\.(\d+)", done.stdout)
    return (int(match[1]), int(match[2])) if match else None
