"""The workers that a server starts, and the cores that they and it get."""

from __future__ import annotations

import logging
import mmap
import os
from collections.abc import Sequence

from clockwork_triton.devices import default_memory, gpu_facts, gpu_of, slot_bytes, worker_cores
from clockwork_triton.engine.options import WorkerOptions
from clockwork_triton.flags import ServeOptions
from clockwork_triton.worker.cores import ANYWHERE, as_list, cores_near, read_cores, share

log = logging.getLogger(__name__)


def worker_options(options: ServeOptions, arena_fds: tuple[int, ...] = ()) -> tuple[WorkerOptions, ...]:
    """A worker for each device, on cores of its own where there are enough."""
    devices = options.device
    each = max(worker_cores(device, options.threads) for device in devices)
    cores = share(read_cores(), [_cores_near(device) for device in devices], each)
    return tuple(
        WorkerOptions(
            device,
            options.device_memory or default_memory(device),
            options.device_workspace,
            slot_bytes=_whole_pages(options.device_slot or slot_bytes(device)),
            cores=_cores(device, cores[index], options.threads),
            arena_fds=arena_fds,
            busy_poll_us=options.busy_poll_us,
            threads=options.threads,
        )
        for index, device in enumerate(devices)
    )


def _whole_pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _cores_near(device: str) -> frozenset[int]:
    gpu = gpu_facts(device)
    return ANYWHERE if gpu is None else cores_near(gpu.pci_bus_id)


def _cores(device: str, cores: tuple[int, ...], threads: int) -> tuple[int, ...]:
    """The cores, or any where there are too few for the threads of a CPU's kernels."""
    return () if gpu_of(device) is None and len(cores) < threads else cores


def announce(workers: Sequence[WorkerOptions]) -> None:
    """Logs which GPU each number stands for, and on which cores it is served."""
    for worker in workers:
        gpu = gpu_facts(worker.device)
        if gpu is not None:
            where = f"cores {as_list(worker.cores)}" if worker.cores else "any core"
            log.info("%s is %s at %s, served on %s", worker.device, gpu.name, gpu.pci_bus_id, where)


def leave_cores_to(workers: Sequence[WorkerOptions]) -> None:
    """Takes this process, and the converters it starts, off the cores of the workers."""
    rest = os.sched_getaffinity(0) - {core for worker in workers for core in worker.cores}
    if rest:
        os.sched_setaffinity(0, rest)
