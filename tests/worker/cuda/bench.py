"""A CUDA device on a fake driver, with the tiny artifact of the other devices' tests."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path

import numpy as np

from clockwork_triton.artifact.manifest import Launch
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.cuda.clocks import ClockTracker
from clockwork_triton.worker.cuda.device import CudaDevice
from clockwork_triton.worker.device import DeviceOptions
from tests.worker import tiny
from tests.worker.cuda.fake_driver import Clock, FakeDriver, Kernel

SLOTS = 3
SLOT_BYTES = 8192
PAGES = 16

Floats = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


def floats(address: int, count: int) -> Floats:
    return np.ctypeslib.as_array((ctypes.c_float * count).from_address(address))


def kernels() -> dict[str, Kernel]:
    """The tiny artifact's, and one that does nothing for the size whose kernels fail on a CPU."""

    def scale(size: int) -> Kernel:
        def run(addresses: tuple[int, ...]) -> None:
            x, w, y = addresses
            for row in range(size):
                at = 4 * tiny.WIDTH * row
                floats(y + at, tiny.WIDTH)[:] = floats(x + at, tiny.WIDTH) * floats(w, tiny.WIDTH)

        return run

    def shift(size: int) -> Kernel:
        def run(addresses: tuple[int, ...]) -> None:
            x, w, y = addresses
            for row in range(size):
                at = 4 * tiny.WIDTH * row
                floats(y + at, tiny.WIDTH)[:] = floats(x + at, tiny.WIDTH) + floats(w, tiny.WIDTH)

        return run

    found: dict[str, Kernel] = {}
    for size in tiny.SIZES:
        found[f"scale_{size}_device"] = scale(size)
        found[f"shift_{size}_device"] = shift(size)
    return found


def launches() -> dict[str, tuple[Launch, ...]]:
    """Each kernel is one launch; the last of batch size 1 is two, of which the first does nothing."""
    found = {
        f"{name}_{size}": (Launch(f"{name}_{size}_device", (1, 1, 1), (32, 1, 1), 0, (0, 1, 2)),)
        for name in ("scale", "shift")
        for size in tiny.SIZES
    }
    found["shift_1"] = (Launch("nothing", (1, 1, 1), (32, 1, 1), 0, (1,)), *found["shift_1"])
    return found


def write(directory: Path, **changes: object) -> Path:
    tiny.write(directory, None)
    (directory / "kernels.cubin").write_bytes(b"\x7fELF")
    tiny.with_changes(directory, **{"gpu_arch": "sm_90", "launches": launches(), **changes})
    return directory


class Bench:
    """A device, its driver and clock, and its I/O slots."""

    def __init__(
        self,
        *,
        graphs: bool = True,
        pages: int = PAGES,
        driver: FakeDriver | None = None,
        gpu_clock: ClockTracker | None = None,
    ) -> None:
        self.driver = driver or FakeDriver(Clock(), kernels())
        self.clock = self.driver.clock
        io_fd = os.memfd_create("test-io")
        os.ftruncate(io_fd, SLOTS * SLOT_BYTES)
        self.slots = np.frombuffer(mmap.mmap(io_fd, SLOTS * SLOT_BYTES), np.float32).reshape(SLOTS, -1)
        self.options = DeviceOptions(pages * tiny.PAGE, tiny.PAGE, tiny.PAGE, SLOTS, SLOT_BYTES, io_fd)
        try:
            self.device = CudaDevice(
                self.options,
                self.driver,
                graphs=graphs,
                gpu_clock=gpu_clock,
                clock=self.clock,
                sleep=self.clock.sleep,
            )
        finally:
            os.close(io_fd)

    def register(self, model_id: int, artifact: Path) -> None:
        for _ in self.device.register(model_id, artifact):
            pass

    def put(self, slot: int, rows: Floats) -> None:
        self.slots[slot, : rows.size] = rows.reshape(-1)

    def infer(self, model_id: int, size: int, slot: int) -> Stages:
        return self.device.infer(model_id, size, slot).wait()

    def result(self, slot: int, size: int) -> Floats:
        """Outputs begin behind the inputs, at a multiple of 64 bytes."""
        begin = -(-4 * tiny.WIDTH * size // 64) * 16
        return self.slots[slot, begin : begin + tiny.WIDTH * size].reshape(size, tiny.WIDTH)
