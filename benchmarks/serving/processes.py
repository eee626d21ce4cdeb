"""Servers as processes: started and ended, and those below them, read from /proc."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@contextlib.contextmanager
def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    log: Path,
    is_ready: Callable[[], bool],
    *,
    patience_s: float,
    grace_s: float,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server for the length of a `with` block, ready when it begins; it has `grace_s` to end by itself.

    RuntimeError with the end of the log if it ends or `is_ready` stays False for `patience_s`.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=environment)
    try:
        begin = time.monotonic()
        while time.monotonic() - begin < patience_s and process.poll() is None:
            if is_ready():
                break
            time.sleep(0.1)
        else:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise RuntimeError(f"{process.args!r} did not become ready:\n{tail}")
        yield process
    finally:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


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
