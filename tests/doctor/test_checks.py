from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clockwork_triton.doctor.checks import examine
from clockwork_triton.doctor.facts import DriverFacts
from clockwork_triton.doctor.finding import Verdict
from clockwork_triton.worker.cores import Cores
from tests.doctor.machines import GIB, WELL, wrong


def test_nothing_is_said_against_a_machine_that_is_well() -> None:
    assert wrong(WELL) == []
    assert len(examine(WELL)) == 17


@pytest.mark.parametrize(
    ("changes", "subject", "change"),
    [
        ({"cores": Cores(frozenset({0})), "near": (frozenset(),)}, "cores", "a core for the front end"),
        ({"cpu_quota": 1.5}, "CPU quota", "a cpuset"),
        ({"governors": frozenset({"powersave"})}, "CPU clock", "performance"),
        ({"load": 7.0}, "other work", "taskset"),
        ({"huge_pages": "never"}, "huge pages", "madvise"),
        ({"open_files": 1024}, "open files", "nofile=65536"),
        ({"real_time": False}, "real-time priority", "LimitRTPRIO"),
        ({"real_time": False, "real_time_pause_us": 50_000}, "real-time priority", "LimitRTPRIO"),
        ({"real_time_pause_us": 50_000}, "real-time throttling", "kernel.sched_rt_runtime_us=-1"),
        ({"may_keep_awake": False}, "CPU sleep", "--device /dev/cpu_dma_latency"),
        ({"locked_memory": 8 << 20}, "locked memory", "memlock"),
        ({"memory_limit": 16 * GIB}, "memory limit", "times the GPUs that serve it"),
        ({"setups": None, "near": ()}, "management library", "pip install"),
        ({"near": (frozenset({4, 5}),), "cores": Cores(frozenset(range(4)))}, "GPU 0 node", "a cpuset"),
    ],
)
def test_what_is_wrong_is_named_with_what_to_do(changes: dict[str, Any], subject: str, change: str) -> None:
    (finding,) = wrong(replace(WELL, **changes))
    assert finding.subject == subject
    assert finding.verdict is Verdict.POOR
    assert change in finding.change
    assert finding.gain


def test_a_limit_of_memory_is_well_if_the_gpus_can_be_filled_from_it() -> None:
    assert wrong(replace(WELL, memory_limit=64 * GIB)) == []
    (finding,) = wrong(replace(WELL, memory_limit=3 * GIB, setups=None, near=()))[:1]
    assert finding.found == "3.0 GiB"


@pytest.mark.parametrize("wake_us", [None, 1, 10])
def test_a_core_that_sleeps_lightly_may_sleep(wake_us: int | None) -> None:
    assert wrong(replace(WELL, wake_us=wake_us, may_keep_awake=False)) == []


def test_a_machine_without_gpus_is_asked_nothing_of_them() -> None:
    missing = DriverFacts(missing=True, error="there is no CUDA driver here")
    plain = replace(WELL, driver=missing, setups=None, near=(), compiler=None, real_time=False)
    assert wrong(plain) == []
    assert not any(finding.subject == "nvcc" for finding in examine(plain))


def test_a_node_is_not_judged_where_it_cannot_be_told_which_gpus_are_used() -> None:
    facts = replace(WELL, setups=WELL.setups * 2 if WELL.setups else None, near=(frozenset({100}),) * 2)
    assert not any("node" in finding.subject for finding in examine(facts))
