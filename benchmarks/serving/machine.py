"""Where figures come from, and what else went on there."""

from __future__ import annotations

import os
import platform
import resource
from importlib.metadata import version
from pathlib import Path


def description() -> str:
    """One sentence, and a list of versions."""
    cores = len(os.sched_getaffinity(0))
    packages = ", ".join(f"{name} {version(name)}" for name in ("apache-tvm", "onnxruntime", "grpcio"))
    return f"Machine: {cores} cores of {_cpu()}. Python {platform.python_version()}, {packages}."


class Others:
    """Meters the CPU time that processes other than this one and its descendants take, from its making on."""

    def __init__(self) -> None:
        self._busy_s, self._total_s = _machine_s()
        self._own_s = _own_s()

    def share(self, besides_s: float = 0.0) -> float:
        """Of all the machine's CPU time, 0 to 1. Descendants count once they have ended; `besides_s`: what
        those that have not used meanwhile."""
        busy_s, total_s = _machine_s()
        others_s = (busy_s - self._busy_s) - (_own_s() - self._own_s) - besides_s
        return max(0.0, others_s / max(total_s - self._total_s, 0.01))


def _machine_s() -> tuple[float, float]:
    """Seconds that the cores have been busy, and all of their seconds. Stolen time is busy with others."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    user, nice, system, idle, waiting, *interrupts = (
        int(field) / os.sysconf("SC_CLK_TCK") for field in fields
    )
    busy_s = user + nice + system + sum(interrupts)
    return busy_s, busy_s + idle + waiting


def _own_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
