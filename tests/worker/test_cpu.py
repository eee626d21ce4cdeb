"""The CPU device in this process."""

from __future__ import annotations

import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from clockwork_triton.artifact.program import Memory
from clockwork_triton.worker.cpu import CpuDevice
from clockwork_triton.worker.device import DeviceOptions
from tests.worker import tiny

SLOTS = 4
SLOT_BYTES = 8192


@pytest.fixture
def device() -> Iterator[CpuDevice]:
    io_fd = os.memfd_create("test-io")
    os.ftruncate(io_fd, SLOTS * SLOT_BYTES)
    device = CpuDevice(DeviceOptions(16 * tiny.PAGE, tiny.PAGE, tiny.PAGE, SLOTS, SLOT_BYTES, io_fd))
    os.close(io_fd)
    yield device
    device.close()


def test_serving_allocates_nothing(
    device: CpuDevice, artifact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a tensor, nor memory of the interpreter that outlives its action."""
    for _ in device.register(1, artifact):
        pass

    def no_view(*_: object) -> None:
        raise AssertionError("a tensor was made while serving")

    monkeypatch.setattr(Memory, "_make_view", no_view)

    def serve(count: int) -> None:
        for number in range(count):
            device.load(1, (number % 4, 4 + number % 9))
            device.infer(1, 1 + number % 2, number % SLOTS)

    serve(100)
    tracemalloc.start()
    serve(100)
    before = tracemalloc.get_traced_memory()[0]
    serve(1000)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 1024


def test_registering_again_after_unregistering_works(device: CpuDevice, artifact: Path) -> None:
    for _ in range(2):
        for _ in device.register(1, artifact):
            assert device.registered(1) is None
        facts = device.registered(1)
        assert facts is not None
        assert (facts.segments, facts.batch_sizes) == ((1, 2), {1, 2, tiny.BROKEN_SIZE})
        list(device.unregister(1))
    assert device.registered(1) is None


def test_unregistering_unmaps_the_kernels(device: CpuDevice, artifact: Path) -> None:
    library = str((artifact / "kernels.so").resolve())
    for model_id in range(5):
        for _ in device.register(model_id, artifact):
            pass
        device.load(model_id, (0, 4))
        device.infer(model_id, 1, 0)
        with pytest.raises(Exception, match="shape"):
            device.infer(model_id, tiny.BROKEN_SIZE, 0)
        assert library in Path("/proc/self/maps").read_text()
        list(device.unregister(model_id))
    assert library not in Path("/proc/self/maps").read_text()
