"""From ONNX to answers: the CUDA device runs converted models, on a fake driver and an emulated GPU."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.worker.cuda.device import CudaDevice
from clockwork_triton.worker.device import DeviceOptions
from converters import device_code
from converters.convert import convert
from converters.request import ConversionRequest
from tests.converters.models import saved, small_convnet
from tests.cuda.emulator import Emulator, needs_emulation
from tests.worker.cuda.fake_driver import Clock, FakeDriver, Kernel

SLOTS = 2
SLOT_BYTES = 1 << 16
SIZES = (1, 2, 4)


def _kernels(manifest: Manifest, emulator: Emulator) -> dict[str, Kernel]:
    """By function, what a launch of it does; every function of this model has one shape of launch."""
    found: dict[str, Kernel] = {}
    for launches in manifest.launches.values():
        for launch in launches:
            found[launch.function] = lambda addresses, launch=launch: emulator.launch(launch, addresses)
    return found


@needs_emulation
def test_a_converted_model_is_served_at_every_size_slot_and_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"\x7fELF")
    path = saved(small_convnet(), tmp_path)
    artifact = tmp_path / "artifact"
    artifact.mkdir()
    request = ConversionRequest(path, "m", 4, SIZES, target="cuda", arch="sm_90", precision="fp32")
    manifest = convert(request, artifact, {}, lambda progress: None)
    clock = Clock()
    driver = FakeDriver(clock, _kernels(manifest, Emulator((artifact / "kernels.cu").read_text(), artifact)))
    io_fd = os.memfd_create("test-io")
    os.ftruncate(io_fd, SLOTS * SLOT_BYTES)
    slots = np.frombuffer(mmap.mmap(io_fd, SLOTS * SLOT_BYTES), np.float32).reshape(SLOTS, -1)
    options = DeviceOptions(3 << 24, 1 << 20, 1 << 24, SLOTS, SLOT_BYTES, io_fd)
    device = CudaDevice(options, driver, clock=clock, sleep=clock.sleep)
    os.close(io_fd)
    for _ in device.register(1, artifact):
        pass
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(2)
    for turn, size in enumerate(SIZES * 2):
        device.load(1, (turn % 3,))
        slot = turn % SLOTS
        x = random.standard_normal((size, 3, 12, 12)).astype(np.float32)
        slots[slot, : x.size] = x.reshape(-1)
        device.expect(1, size, slot)
        result = device.infer(1, size, slot)
        result.wait()
        begin = manifest.slot(size).outputs[0] // 4
        actual = slots[slot, begin : begin + 10 * size].reshape(size, 10)
        (expected,) = session.run(None, {"x": x})
        assert difference(expected, actual) < 1e-5
    device.close()
    assert driver.allocated == {}
