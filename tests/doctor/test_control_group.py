from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from clockwork_triton.doctor.control_group import cpu_quota, memory_limit

TOP = "sys/fs/cgroup"


def _write(root: Path, files: Mapping[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "quota", "limit"),
    [
        ({}, None, None),
        ({f"{TOP}/cpu.max": "150000 100000\n", f"{TOP}/memory.max": "1048576\n"}, 1.5, 1 << 20),
        ({f"{TOP}/cpu.max": "max 100000\n", f"{TOP}/memory.max": "max\n"}, None, None),
        (
            {
                "proc/self/cgroup": "0::/a.slice/b.scope\n",
                f"{TOP}/a.slice/cpu.max": "200000 100000\n",
                f"{TOP}/a.slice/b.scope/cpu.max": "max 100000\n",
                f"{TOP}/a.slice/memory.max": "max\n",
                f"{TOP}/a.slice/b.scope/memory.max": "4096\n",
            },
            2.0,
            4096,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n0::/\n",
                f"{TOP}/cpu,cpuacct/cpu.cfs_quota_us": "50000\n",
                f"{TOP}/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
                f"{TOP}/memory/memory.limit_in_bytes": "8192\n",
            },
            0.5,
            8192,
        ),
        (
            {
                "proc/self/cgroup": "5:memory:/\n4:cpu:/\n",
                f"{TOP}/cpu/cpu.cfs_quota_us": "-1\n",
                f"{TOP}/cpu/cpu.cfs_period_us": "100000\n",
                f"{TOP}/memory/memory.limit_in_bytes": "9223372036854771712\n",
            },
            None,
            None,
        ),
    ],
    ids=["nothing", "own", "none", "groups within groups", "version 1", "version 1, none"],
)
def test_the_tightest_group_counts(
    tmp_path: Path, files: dict[str, str], quota: float | None, limit: int | None
) -> None:
    root = _write(tmp_path, files)
    assert (cpu_quota(root), memory_limit(root)) == (quota, limit)
