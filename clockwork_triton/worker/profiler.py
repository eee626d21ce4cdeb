"""Measures an artifact on a device, in this process and with the device's own code."""

from __future__ import annotations

import contextlib
import gc
import mmap
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median_low

import numpy as np

from clockwork_triton.artifact import Distribution, Manifest, Profile
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.device import Device, DeviceOptions
from clockwork_triton.worker.devices import open_device

LOADS = 20
_MODEL_ID = 1


class Subject:
    """An artifact registered at a device that has one I/O slot. Durations are in nanoseconds."""

    def __init__(self, device: Device, manifest: Manifest, slot: mmap.mmap) -> None:
        self.device = device
        self.batch_sizes = manifest.batch_sizes
        self._manifest = manifest
        self._slot = slot
        self._inputs = {size: _inputs(manifest, size) for size in manifest.batch_sizes}
        self._first_pages = _places(manifest)

    def load(self) -> int:
        stages = self.device.load(_MODEL_ID, self._first_pages)
        return stages.end_ns - stages.begin_ns

    def feed(self, batch_size: int, inputs: Sequence[bytes]) -> None:
        """What the inputs are from now on, in the manifest's order."""
        self._inputs[batch_size] = tuple(
            (offset, data) for (offset, _), data in zip(self._inputs[batch_size], inputs, strict=True)
        )

    def outputs(self, batch_size: int) -> list[bytes]:
        """What the last INFER of this batch size wrote, in the manifest's order."""
        places = zip(self._manifest.outputs, self._manifest.slot(batch_size).outputs, strict=True)
        return [self._slot[begin : begin + tensor.row_bytes * batch_size] for tensor, begin in places]

    def infer(self, batch_size: int) -> int:
        """Writes the inputs as the engine would, then measures."""
        for offset, data in self._inputs[batch_size]:
            self._slot[offset : offset + len(data)] = data
        result = self.device.infer(_MODEL_ID, batch_size, 0)
        stages = result if isinstance(result, Stages) else result.wait()
        return stages.end_ns - stages.begin_ns


@contextlib.contextmanager
def subject(
    artifact: Path, device_name: str, opener: Callable[[str, DeviceOptions], Device] = open_device
) -> Iterator[Subject]:
    """The artifact on a device just large enough for it.

    UnsuitableModel, ValueError or OSError if it cannot be run; for the names see `open_device`.
    """
    manifest = Manifest.read(artifact)
    slot_bytes = max(manifest.slot(size).bytes for size in manifest.batch_sizes)
    slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
    io_fd = os.memfd_create("clockwork-profile", os.MFD_CLOEXEC)
    try:
        os.ftruncate(io_fd, slot_bytes)
        options = DeviceOptions(
            memory_bytes=manifest.pages * manifest.page_bytes,
            workspace_bytes=manifest.workspace_bytes,
            page_bytes=manifest.page_bytes,
            slots=1,
            slot_bytes=slot_bytes,
            io_fd=io_fd,
        )
        with contextlib.closing(opener(device_name, options)) as device:
            for _ in device.register(_MODEL_ID, artifact):
                pass
            with mmap.mmap(io_fd, slot_bytes) as slot:
                yield Subject(device, manifest, slot)
    finally:
        os.close(io_fd)


def measure(
    subject: Subject, batch_sizes: Sequence[int], runs: int, tick: Callable[[], None] = lambda: None
) -> Profile:
    """Durations of `runs` INFERs of each batch size, and of up to LOADS LOADs.

    Each round runs every batch size once, and some begin with a LOAD, so that a disturbance hits all alike.
    The first rounds are discarded. `tick` is called after each of `rounds(runs)` rounds.
    """
    loads: list[int] = []
    infers: dict[int, list[int]] = {size: [] for size in batch_sizes}
    clocks_mhz: list[int] = []
    with _collector_off():
        for number in range(runs - rounds(runs), runs):
            load_ns = subject.load() if number <= 0 or _begins_share(number, runs) else None
            infer_ns = [subject.infer(size) for size in batch_sizes]
            if number >= 0:
                loads += [] if load_ns is None else [load_ns]
                for size, duration in zip(batch_sizes, infer_ns, strict=True):
                    infers[size].append(duration)
                clocks_mhz += [clock_mhz] if (clock_mhz := subject.device.clock_mhz) else []
            tick()
    distributions = {size: Distribution.of(durations) for size, durations in infers.items()}
    clock_mhz = median_low(clocks_mhz) if clocks_mhz else 0
    return Profile(subject.device.kind, Distribution.of(loads), distributions, clock_mhz)


def rounds(runs: int) -> int:
    """How many rounds `measure` takes, with those that it discards."""
    return runs + max(2, runs // 10)


def _begins_share(number: int, runs: int) -> bool:
    """Whether round `number` is the first of one of LOADS equal shares of the rounds."""
    return number * LOADS // runs > (number - 1) * LOADS // runs


def _places(manifest: Manifest) -> tuple[int, ...]:
    """The first page of each segment, one after the other."""
    places = []
    page = 0
    for segment in manifest.segments:
        places.append(page)
        page += segment.pages
    return tuple(places)


def _inputs(manifest: Manifest, batch_size: int) -> tuple[tuple[int, bytes], ...]:
    """Offset and bytes of each input: numbers in 0..1, and 0 for integers, which may be indices."""
    random = np.random.default_rng(0)
    inputs = []
    for tensor, offset in zip(manifest.inputs, manifest.slot(batch_size).inputs, strict=True):
        size = tensor.row_bytes * batch_size
        data = bytes(size)
        if tensor.dtype in ("float16", "float32", "float64"):
            dtype = np.dtype(tensor.dtype)
            data = random.random(size // dtype.itemsize).astype(dtype).tobytes()
        inputs.append((offset, data))
    return tuple(inputs)


@contextlib.contextmanager
def _collector_off() -> Iterator[None]:
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
