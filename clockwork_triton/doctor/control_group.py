"""What the control group of this process lets it have, in both versions of control groups."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from clockwork_triton.doctor.files import read

_NO_LIMIT = 1 << 60
"""Version 1 writes none as the largest number of whole pages."""


def cpu_quota(root: Path) -> float | None:
    """Cores' worth of time that it may use, at the tightest of the groups it is in; None: no quota."""
    quotas = []
    for folder in _folders(root, ""):
        # "200000 100000", microseconds of work in each period, or "max 100000".
        fields = read(folder / "cpu.max").split()
        if len(fields) == 2 and fields[0] != "max":
            quotas.append(int(fields[0]) / int(fields[1]))
    for folder in _folders(root, "cpu"):
        quota, period = read(folder / "cpu.cfs_quota_us"), read(folder / "cpu.cfs_period_us")
        if quota and period and int(quota) > 0:
            quotas.append(int(quota) / int(period))
    return min(quotas, default=None)


def memory_limit(root: Path) -> int | None:
    """Bytes, at the tightest of the groups it is in; None: no limit."""
    texts = [read(folder / "memory.max") for folder in _folders(root, "")]
    texts += [read(folder / "memory.limit_in_bytes") for folder in _folders(root, "memory")]
    limits = (int(text) for text in texts if text.strip().isdecimal())
    return min((limit for limit in limits if limit < _NO_LIMIT), default=None)


def _folders(root: Path, controller: str) -> Iterator[Path]:
    """Of the group and those around it, as far as they can be seen: in a container the outermost that can is
    its own. `controller` "" is version 2."""
    for line in read(root / "proc/self/cgroup").splitlines() or [f"0:{controller}:/"]:
        _, names, group = line.split(":", 2)
        if controller not in names.split(","):
            continue
        for mount in dict.fromkeys((names, controller)):
            top = root / "sys/fs/cgroup" / mount
            path = Path(group.lstrip("/"))
            yield from (top / part for part in dict.fromkeys((path, *path.parents)))
