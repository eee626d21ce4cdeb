"""The processes below a server, read from /proc."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    pid: int
    started: str
    """Start time in clock ticks: with it a pid that was given away again is not taken for the old one."""
    command: str

    def alive(self) -> bool:
        return find(self.pid) == self


def find(pid: int) -> Process | None:
    """None for a process that is gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        command = (
            Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        )
    except OSError:
        return None
    return None if fields[0] in "ZX" else Process(pid, fields[19], command)


def descendants(pid: int) -> list[Process]:
    """Children before their own children."""
    found: list[Process] = []
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return found
    for thread in threads:
        try:
            children = Path(f"/proc/{pid}/task/{thread}/children").read_text().split()
        except OSError:
            continue
        for child in children:
            process = find(int(child))
            if process is not None:
                found += [process, *descendants(process.pid)]
    return found


def end(processes: list[Process], patience_s: float) -> list[Process]:
    """Waits for processes to end by themselves, kills the rest, and returns those."""
    until = time.monotonic() + patience_s
    while any(process.alive() for process in processes) and time.monotonic() < until:
        time.sleep(0.05)
    stubborn = [process for process in processes if process.alive()]
    for process in stubborn:
        os.kill(process.pid, signal.SIGKILL)
    return stubborn
