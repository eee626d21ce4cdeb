"""A machine that is well, for tests to change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from clockwork_triton.doctor.checks import examine
from clockwork_triton.doctor.facts import DriverFacts, Facts
from clockwork_triton.doctor.finding import Finding, Verdict
from clockwork_triton.nvml import CLOCK_SETTING, GpuSetup
from clockwork_triton.worker.cores import Cores

GIB = 1 << 30
GPU = GpuSetup(
    0,
    "NVIDIA Fake",
    "00000000:17:00.0",
    memory_bytes=64 * GIB,
    utilization=0.0,
    processes=1,
    clock_mhz=1410,
    max_clock_mhz=1980,
    reasons=CLOCK_SETTING,
    persistent=True,
    sliced=False,
    compute_mode=0,
    link_width=16,
    max_link_width=16,
)
WELL = Facts(
    cores=Cores(frozenset(range(8))),
    load=0.1,
    cpu_quota=None,
    governors=frozenset({"performance"}),
    huge_pages="madvise",
    memory_available_bytes=64 * GIB,
    memory_limit=None,
    locked_memory=None,
    open_files=1 << 20,
    real_time=True,
    real_time_pause_us=0,
    wake_us=133,
    may_keep_awake=True,
    driver=DriverFacts(1, cuda=(12, 8), version="580.1"),
    setups=(GPU,),
    near=(frozenset({1, 2, 3}),),
    sees_processes=True,
    compiler="/usr/local/cuda/bin/nvcc",
    host_compiler="/usr/bin/g++",
    compiler_cuda=(12, 9),
)


def wrong(facts: Facts) -> list[Finding]:
    return [finding for finding in examine(facts) if finding.verdict is not Verdict.GOOD]


def with_gpu(**changes: Any) -> Facts:
    return replace(WELL, setups=(replace(GPU, **changes),))


def with_driver(**facts: Any) -> Facts:
    return replace(WELL, driver=DriverFacts(**facts))
