"""What is to be said of one GPU."""

from __future__ import annotations

from collections.abc import Iterator

from clockwork_triton.doctor.clock import clock
from clockwork_triton.doctor.finding import Finding, Verdict
from clockwork_triton.nvml import EXCLUSIVE_MODES, POWER_CAP, PROHIBITED_MODE, SLOWDOWNS, GpuSetup
from clockwork_triton.worker.cores import as_list


def gpu(setup: GpuSetup, alone: bool) -> Iterator[Finding]:
    """`alone`: nobody has a context on it, as far as that can be seen."""
    name = f"GPU {setup.index}"
    if setup.lost:
        yield Finding(
            name,
            Verdict.BAD,
            "lost: the driver cannot reach it",
            f"see dmesg for its Xid; nvidia-smi -r -i {setup.index}, or reboot",
            "models are served on it again",
        )
        return
    yield clock(setup, alone)
    yield from _persistence(setup, name)
    yield from _throttled(setup, name)
    yield from _bus(setup, name)
    yield from _slices(setup, name)
    yield from _mode(setup, name)


def node(setup: GpuSetup, near: frozenset[int], given: tuple[int, ...]) -> Finding:
    """Whether its worker is `given` cores of those that are `near` it."""
    found = f"cores {as_list(given)}"
    if near.issuperset(given):
        return Finding(f"GPU {setup.index} node", Verdict.GOOD, f"{found} for its worker, at its own node")
    return Finding(
        f"GPU {setup.index} node",
        Verdict.POOR,
        f"{found} for its worker, while those of its node are {as_list(near)}",
        "let the server have cores of that node too (a cpuset, taskset -c)",
        "LOADs at the speed of the bus, and launches that do not cross from one socket to the other",
    )


def _persistence(setup: GpuSetup, name: str) -> Iterator[Finding]:
    if setup.persistent is False:
        yield Finding(
            f"{name} persistence",
            Verdict.POOR,
            "off",
            f"nvidia-smi -i {setup.index} -pm 1",
            "the driver keeps the GPU set up between processes: workers start sooner, and settings stay",
        )


def _throttled(setup: GpuSetup, name: str) -> Iterator[Finding]:
    reasons = setup.reasons or 0
    if reasons & SLOWDOWNS:
        yield Finding(
            f"{name} slowdown",
            Verdict.POOR,
            "it slows itself down for heat or for power",
            "see to its cooling and its supply",
            "its highest clock, and times that repeat",
        )
    elif reasons & POWER_CAP:
        yield Finding(
            f"{name} power",
            Verdict.POOR,
            "at its limit of power",
            f"lock a lower clock: nvidia-smi -i {setup.index} -lgc",
            "times that repeat, since its clock no longer follows what the kernels happen to draw",
        )


def _bus(setup: GpuSetup, name: str) -> Iterator[Finding]:
    if setup.max_link_width is not None and (setup.link_width or 0) < setup.max_link_width:
        yield Finding(
            f"{name} bus",
            Verdict.POOR,
            f"{setup.link_width} lanes of {setup.max_link_width}",
            "put it into a slot of its own width",
            "LOADs in proportion",
        )


def _slices(setup: GpuSetup, name: str) -> Iterator[Finding]:
    if setup.sliced:
        yield Finding(
            f"{name} slices",
            Verdict.POOR,
            "MIG is on: a process sees one slice of it",
            f"nvidia-smi -i {setup.index} -mig 0; or a server for each slice, named in CUDA_VISIBLE_DEVICES",
            "all of the GPU for one controller, which shares it among the models",
        )


def _mode(setup: GpuSetup, name: str) -> Iterator[Finding]:
    if setup.compute_mode == PROHIBITED_MODE:
        yield Finding(
            f"{name} mode",
            Verdict.BAD,
            "prohibited: no process may use it",
            f"nvidia-smi -i {setup.index} -c DEFAULT",
            "models can be served on it",
        )
    elif setup.compute_mode in EXCLUSIVE_MODES:
        yield Finding(f"{name} mode", Verdict.GOOD, "exclusive: whoever has it keeps all others out")
