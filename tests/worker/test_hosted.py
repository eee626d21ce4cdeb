"""Models that are not compiled, at the CPU device."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact import Manifest, Variant
from clockwork_triton.artifact.host import ONNXRUNTIME, encode
from clockwork_triton.artifact.records import (
    Record,
    RecordReader,
    RecordWriter,
    Tensor,
    requests_in,
)
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.worker.device import DeviceOptions, UnsuitableModel
from clockwork_triton.worker.devices import open_device
from clockwork_triton.worker.emulated import EmulatedDevice
from tests.converters.models import INT32, STRING, model, node, saved
from tests.worker import tiny

SLOT_BYTES = 8192


@pytest.fixture
def numbers(tmp_path: Path) -> Path:
    """An artifact that reads numbers from texts."""
    proto = model([node("Cast", ["x"], ["y"], to=INT32)], {"x": (STRING, ["N"])}, {"y": (INT32, ["N"])})
    saved(proto, tmp_path)
    manifest = Manifest(
        name="numbers",
        target="host",
        max_batch_size=4,
        inputs=(TensorSpec("x", "object", ()),),
        outputs=(TensorSpec("y", "int32", ()),),
        page_bytes=tiny.PAGE,
        segments=(),
        variants={size: Variant(size, 0, (), ()) for size in (1, 2, 4)},
        origin={},
        runtime=ONNXRUNTIME,
        reason="it reads texts",
        filler="1",
    )
    (tmp_path / "manifest.json").write_text(manifest.to_json())
    return tmp_path


def options() -> DeviceOptions:
    io_fd = os.memfd_create("test-io")
    os.ftruncate(io_fd, 2 * SLOT_BYTES)
    return DeviceOptions(4 * tiny.PAGE, tiny.PAGE, tiny.PAGE, 2, SLOT_BYTES, io_fd)


def ask(artifact: Path, *requests: Record) -> list[Record]:
    """What the device answers to a batch of requests in its second slot."""
    given = options()
    device = open_device("cpu", given)
    for _ in device.register(1, artifact):
        pass
    facts = device.registered(1)
    assert facts is not None
    assert (facts.segments, facts.batch_sizes) == ((), {1, 2, 4})
    device.load(1, ())
    slots = mmap.mmap(given.io_fd, 2 * SLOT_BYTES)
    slot = memoryview(slots)[SLOT_BYTES:]
    writer = RecordWriter(slot)
    for request in requests:
        writer.write(request)
    writer.finish_requests(len(requests))
    device.infer(1, 4, 1)
    position, count = requests_in(slot)
    reader = RecordReader(slot, position)
    answers = []
    for record in [reader.read() for _ in range(count)]:
        answers.append(
            record if isinstance(record, str) else [Tensor(t.shape, bytes(t.data)) for t in record]
        )  # type: ignore[arg-type]
    list(device.unregister(1))
    assert device.registered(1) is None
    device.close()
    os.close(given.io_fd)
    return answers


def texts(*values: str) -> list[Tensor]:
    return [Tensor((len(values),), encode(np.array(values, object)))]


def test_each_request_of_a_batch_is_answered_for_itself(numbers: Path) -> None:
    first, second, third, fourth = ask(numbers, texts("7"), texts("x"), "no room", texts("1", "2"))
    assert first == [Tensor((1,), np.array([7], np.int32).tobytes())]
    assert isinstance(second, str)
    assert "Cast" in second
    assert third == "no room"
    assert fourth == [Tensor((2,), np.array([1, 2], np.int32).tobytes())]


def test_outputs_that_do_not_fit_are_an_answer_too(numbers: Path) -> None:
    many = ["1"] * 700  # of five bytes each, which become four
    long, short = ask(numbers, texts(*many), texts("3"))
    assert long == [Tensor((700,), np.ones(700, np.int32).tobytes())]
    assert short == [Tensor((1,), np.array([3], np.int32).tobytes())]
    refused, after = ask(numbers, texts(*(many + ["1"] * 400)), texts("3"))
    assert isinstance(refused, str)
    assert refused.startswith("the outputs take more than the")
    assert after == [Tensor((1,), np.array([3], np.int32).tobytes())]


def test_a_model_that_the_runtime_cannot_read_is_refused(numbers: Path) -> None:
    (numbers / "model.onnx").write_bytes(b"nothing")
    given = options()
    with pytest.raises(UnsuitableModel, match="onnxruntime cannot run it"):
        list(open_device("cpu", given).register(1, numbers))
    os.close(given.io_fd)


def test_there_is_nothing_to_emulate(numbers: Path) -> None:
    given = options()
    with pytest.raises(UnsuitableModel, match="nothing to emulate"):
        list(EmulatedDevice(given, "any").register(1, numbers))
    os.close(given.io_fd)
