"""How the engine and its workers are set up."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkerOptions:
    """What a worker process is started with. `cores` empty: wherever the system puts it. `arena_fds`: the
    files of the front ends' tensors, by number. `busy_poll_us`: how long it looks for work before it
    sleeps."""

    device: str
    memory_bytes: int
    workspace_bytes: int
    slots: int = 8
    slot_bytes: int = 256 << 20
    cores: tuple[int, ...] = ()
    arena_fds: tuple[int, ...] = ()
    busy_poll_us: int = 0
    threads: int = 1
    """That share a kernel, on a CPU."""


@dataclass(frozen=True)
class EngineOptions:
    """`start_timeout_s` bounds how long a worker may take to say Hello. A dead worker is started again after
    `restart_delay_s`, doubled after each start that fails, up to thirty seconds."""

    workers: tuple[WorkerOptions, ...]
    action_log: Path | None = None
    request_log: Path | None = None
    start_timeout_s: float = 30.0
    restart_delay_s: float = 0.1
