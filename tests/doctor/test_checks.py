from __future__ import annotations

from dataclasses import replace

import pytest

from clockwork_triton.doctor.checks import Finding, Verdict, examine
from clockwork_triton.doctor.facts import Facts
from clockwork_triton.nvml import GpuState

GPU = GpuState(
    0,
    "NVIDIA Fake",
    "GPU-0",
    "0000:17:00.0",
    0.0,
    1 << 36,
    0,
    60.0,
    700.0,
    1.0,
    1980,
    1980,
    0,
    True,
    5,
    5,
    16,
    16,
)
WELL = Facts(
    cores=8,
    load=0.1,
    cpu_quota=None,
    governors=frozenset({"performance"}),
    huge_pages="madvise",
    memory_available_bytes=1 << 36,
    locked_memory=None,
    open_files=1 << 20,
    real_time=True,
    gpus=1,
    driver_error="",
    driver_version="580.1",
    states=(GPU,),
    compiler="/usr/local/cuda/bin/nvcc",
)


def _wrong(facts: Facts) -> list[Finding]:
    return [finding for finding in examine(facts) if finding.verdict is not Verdict.GOOD]


def test_nothing_is_said_against_a_machine_that_is_well() -> None:
    assert _wrong(WELL) == []
    assert len(examine(WELL)) == 12


@pytest.mark.parametrize(
    ("changes", "subject", "change"),
    [
        ({"gpus": 0}, "GPUs", "CUDA_VISIBLE_DEVICES"),
        ({"cores": 1}, "cores", "a core for the front end"),
        ({"cpu_quota": 1.5}, "CPU quota", "a cpuset"),
        ({"governors": frozenset({"powersave"})}, "CPU clock", "performance"),
        ({"load": 7.0}, "other work", "taskset"),
        ({"huge_pages": "never"}, "huge pages", "madvise"),
        ({"open_files": 1024}, "open files", "nofile=65536"),
        ({"real_time": False}, "real-time priority", "LimitRTPRIO"),
        ({"locked_memory": 8 << 20}, "locked memory", "memlock"),
        ({"compiler": None}, "nvcc", "convert elsewhere"),
        ({"states": None}, "management library", "pip install"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(
    changes: dict[str, object], subject: str, change: str
) -> None:
    (finding,) = _wrong(replace(WELL, **changes))  # type: ignore[arg-type]
    assert finding.subject == subject
    assert change in finding.change
    assert finding.gain


@pytest.mark.parametrize(
    ("changes", "subject", "text"),
    [
        ({"clock_mhz": 345}, "GPU 0 clock", "not locked"),
        ({"clock_mhz": 345, "utilization": 0.9}, "GPU 0 clock", "cannot be told"),
        ({"clock_mhz": None}, "GPU 0 clock", "does not tell"),
        ({"persistent": False}, "GPU 0 persistence", "off"),
        ({"reasons": 0x40}, "GPU 0 slowdown", "heat"),
        ({"reasons": 0x4}, "GPU 0 power", "limit of power"),
        ({"link_width": 8}, "GPU 0 bus", "8 lanes of 16"),
    ],
)
def test_what_is_wrong_with_a_gpu_is_named(changes: dict[str, object], subject: str, text: str) -> None:
    gpu = replace(GPU, **changes)  # type: ignore[arg-type]
    (finding,) = _wrong(replace(WELL, states=(gpu,)))
    assert finding.subject == subject
    assert text in finding.found


def test_a_machine_without_gpus_is_asked_nothing_of_them() -> None:
    plain = replace(
        WELL, gpus=0, driver_error="there is no CUDA driver here", states=None, compiler=None, real_time=False
    )
    assert _wrong(plain) == []
    assert not any(finding.subject == "nvcc" for finding in examine(plain))
