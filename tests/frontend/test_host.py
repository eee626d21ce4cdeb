from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.frontend.host import HostSampler, HostUsage


def write(
    proc: Path, cpu: str, memory: str = "MemTotal: 100 kB\nMemFree: 1 kB\nMemAvailable: 40 kB\n"
) -> None:
    (proc / "stat").write_text(f"cpu  {cpu}\ncpu0 1 2 3\n")
    (proc / "meminfo").write_text(memory)


def test_use_is_measured_between_samples(tmp_path: Path) -> None:
    sampler = HostSampler(tmp_path)
    write(tmp_path, "10 0 10 70 10 0 0 0 0 0")
    assert sampler.sample() == HostUsage(0.2, 102_400, 61_440)
    write(tmp_path, "30 0 20 80 10 0 0 10 5 0")
    assert sampler.sample() == HostUsage(0.8, 102_400, 61_440)
    assert sampler.sample() == HostUsage(0.0, 102_400, 61_440)


@pytest.mark.parametrize("memory", ["", "MemTotal: x kB\nMemAvailable: 1 kB\n", "MemTotal:\n"])
def test_nothing_where_the_system_does_not_tell(tmp_path: Path, memory: str) -> None:
    sampler = HostSampler(tmp_path)
    assert sampler.sample() is None
    write(tmp_path, "10 0 10 70 10 0 0 0 0 0", memory)
    assert sampler.sample() is None
