from __future__ import annotations

import ctypes
import resource
from pathlib import Path

import pytest

from clockwork_triton.doctor.facts import gather
from clockwork_triton.nvml import Nvml
from tests.test_nvml import library
from tests.worker.cuda.fake_library import build, needs_fake_library

NOWHERE = "libcuda-of-nowhere.so"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "proc/loadavg": "1.50 0.9 0.8 1/2 3",
        "proc/meminfo": "MemTotal: 8 kB\nMemAvailable: 4 kB\n",
        "proc/sys/kernel/sched_rt_runtime_us": "950000\n",
        "proc/sys/kernel/sched_rt_period_us": "1000000\n",
        "sys/bus/pci/devices/0000:17:00.0/local_cpulist": "0-3\n",
        "sys/fs/cgroup/memory.max": "8192\n",
        "proc/self/status": "Name: x\nCapEff:\t0000000000800000\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
        "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
        "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "performance\n",
        "sys/devices/system/cpu/cpu1/cpufreq/scaling_governor": "powersave\n",
        "sys/devices/system/cpu/cpu0/cpuidle/state0/latency": "0\n",
        "sys/devices/system/cpu/cpu0/cpuidle/state1/latency": "133\n",
        "sys/devices/system/cpu/cpu0/cpuidle/state1/disable": "0\n",
        "sys/devices/system/cpu/cpu0/cpuidle/state2/latency": "900\n",
        "sys/devices/system/cpu/cpu0/cpuidle/state2/disable": "1\n",
        "dev/cpu_dma_latency": "",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "proc/self/ns").mkdir()
    (tmp_path / "proc/self/ns/pid").symlink_to("pid:[4026531836]")
    return tmp_path


def test_facts_are_read_from_the_system(root: Path) -> None:
    facts = gather(lambda: "/bin/nvcc", Nvml(library()), root, NOWHERE, host_compiler=lambda: "/bin/g++")
    assert (facts.load, facts.cpu_quota, facts.memory_available_bytes) == (1.5, 1.5, 4096)
    assert facts.governors == {"performance", "powersave"}
    assert (facts.huge_pages, facts.real_time) == ("madvise", True)
    assert (facts.compiler, facts.host_compiler) == ("/bin/nvcc", "/bin/g++")
    assert facts.cores.allowed
    assert (facts.memory_limit, facts.real_time_pause_us, facts.sees_processes) == (8192, 50_000, True)
    assert (facts.wake_us, facts.may_keep_awake) == (133, True)
    assert (facts.driver.gpus, facts.driver.missing, facts.driver.version) == (0, True, "580.1")
    assert "there is no CUDA driver here" in facts.driver.error
    assert facts.setups is not None
    assert len(facts.setups) == 2
    assert facts.near == (frozenset(range(4)),) * 2


@pytest.mark.parametrize(
    ("script", "version"),
    [
        ("echo 'Cuda compilation tools, release 12.8, V12.8.93'", (12, 8)),
        ("echo what", None),
        ("exit 1", None),
    ],
)
def test_the_compiler_says_its_version(
    root: Path, tmp_path: Path, script: str, version: tuple[int, int] | None
) -> None:
    compiler = tmp_path / "nvcc"
    compiler.write_text(f"#!/bin/sh\n{script}\n")
    compiler.chmod(0o755)
    assert gather(lambda: str(compiler), None, root, NOWHERE).compiler_cuda == version


@needs_fake_library
def test_what_the_driver_says_is_kept(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    path = str(build(root))
    driver = gather(lambda: None, None, root, path).driver
    assert (driver.gpus, driver.cuda, driver.visible) == (2, (13, 1), "0")
    assert (driver.old, driver.used) == ({}, 2)
    monkeypatch.setenv("FAKE_CUDA_MAJORS", "97")
    driver = gather(lambda: None, None, root, path).driver
    assert (driver.gpus, driver.old, driver.used) == (2, {1: (7, 0)}, 1)
    ctypes.CDLL(path).fake_fail(b"cuDeviceGetCount", 999)
    driver = gather(lambda: None, None, root, path).driver
    assert (driver.gpus, driver.missing, driver.status) == (0, False, 999)


def test_what_the_system_does_not_tell_is_taken_for_unlimited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, resource.RLIM_INFINITY))
    facts = gather(lambda: None, None, tmp_path, NOWHERE)
    assert (facts.cpu_quota, facts.locked_memory, facts.open_files) == (None, None, None)
    assert (facts.memory_limit, facts.real_time_pause_us, facts.sees_processes) == (None, 0, False)
    assert (facts.governors, facts.huge_pages, facts.setups) == (frozenset(), "", None)
    assert facts.real_time
    assert (facts.wake_us, facts.may_keep_awake) == (None, False)


def test_a_process_without_the_right_may_not_be_real_time(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "proc/self/status").write_text("CapEff:\t0000000000000000\n")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (0, 0))
    assert not gather(lambda: None, None, root, NOWHERE).real_time
