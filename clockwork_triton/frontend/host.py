"""How busy the host is, from /proc; nothing where there is no /proc."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class HostUsage:
    """`cpu` from 0 to 1, since the sample before."""

    cpu: float
    memory_total_bytes: int
    memory_used_bytes: int


class HostSampler:
    """Reads /proc/stat and /proc/meminfo, or the files of the same names in another directory."""

    def __init__(self, proc: Path = Path("/proc")) -> None:
        self._proc = proc
        self._before = (0, 0)

    def sample(self) -> HostUsage | None:
        """None where the system does not tell. The first sample is over the time since the system started."""
        try:
            busy, total = self._cpu_ticks()
            memory_total, available = self._memory()
        except (OSError, ValueError, LookupError):
            return None
        busy_since, since = busy - self._before[0], total - self._before[1]
        self._before = (busy, total)
        cpu = min(1.0, max(0.0, busy_since / since)) if since > 0 else 0.0
        return HostUsage(cpu, memory_total, memory_total - available)

    def _cpu_ticks(self) -> tuple[int, int]:
        first = (self._proc / "stat").read_text().split("\n", 1)[0]
        # user nice system idle iowait irq softirq steal; guest time is part of user time.
        ticks = [int(field) for field in first.split()[1:9]]
        total = sum(ticks)
        return total - ticks[3] - ticks[4], total

    def _memory(self) -> tuple[int, int]:
        lines = (self._proc / "meminfo").read_text().splitlines()
        kib = {name: int(rest.split()[0]) for name, _, rest in (line.partition(":") for line in lines)}
        return kib["MemTotal"] * 1024, kib["MemAvailable"] * 1024
