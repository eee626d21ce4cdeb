from __future__ import annotations

import resource
from pathlib import Path

import pytest

from clockwork_triton.doctor.facts import gather
from clockwork_triton.nvml import Nvml
from tests.test_nvml import library

NOWHERE = "libcuda-of-nowhere.so"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "proc/loadavg": "1.50 0.9 0.8 1/2 3",
        "proc/meminfo": "MemTotal: 8 kB\nMemAvailable: 4 kB\n",
        "proc/self/status": "Name: x\nCapEff:\t0000000000800000\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave\n",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_facts_are_read_from_the_system(root: Path) -> None:
    facts = gather(lambda: "/bin/nvcc", Nvml(library()), root, NOWHERE)
    assert (facts.load, facts.cpu_quota, facts.memory_available_bytes) == (1.5, 1.5, 4096)
    assert facts.governors == {"performance", "powersave"}
    assert (facts.huge_pages, facts.real_time, facts.compiler) == ("madvise", True, "/bin/nvcc")
    assert facts.cores >= 1
    assert (facts.gpus, facts.driver_version) == (0, "580.1")
    assert "there is no CUDA driver here" in facts.driver_error
    assert facts.states is not None
    assert len(facts.states) == 2


def test_what_the_system_does_not_tell_is_taken_for_unlimited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, resource.RLIM_INFINITY))
    facts = gather(lambda: None, None, tmp_path, NOWHERE)
    assert (facts.cpu_quota, facts.locked_memory, facts.open_files) == (None, None, None)
    assert (facts.governors, facts.huge_pages, facts.states) == (frozenset(), "", None)
    assert facts.real_time


def test_a_process_without_the_right_may_not_be_real_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "proc/self/status").write_text("CapEff:\t0000000000000000\n")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, 0))
    assert not gather(lambda: None, None, root, NOWHERE).real_time
