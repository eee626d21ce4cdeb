"""Requests of models that are not compiled, from the checks to the slot and through the runtime."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clockwork_triton.artifact import Manifest, Variant
from clockwork_triton.artifact.host import ONNXRUNTIME, HostModel
from clockwork_triton.artifact.records import RecordReader, requests_in
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.engine.host_io import NO_ROOM, read_answers, write_calls
from clockwork_triton.errors import ServerError
from clockwork_triton.frontend.request import InferRequest, InputTensor
from clockwork_triton.frontend.validation import RequestChecker
from clockwork_triton.inference import InferenceCall
from clockwork_triton.repository.model import ServedModel
from clockwork_triton.worker.hosted import HostedModel
from tests.converters.models import STRING, model, node, saved
from tests.frontend.fakes import served_model

SLOT_BYTES = 1 << 14
TEXTS = [TensorSpec("X", "object", (-1,))]


def served() -> ServedModel:
    plain = served_model("m", TEXTS, [TensorSpec("Y", "object", (-1,))], max_batch_size=2)
    return ServedModel(**{**vars(plain), "runtime": ONNXRUNTIME})


@pytest.fixture(scope="module")
def hosted(tmp_path_factory: pytest.TempPathFactory) -> HostedModel:
    directory: Path = tmp_path_factory.mktemp("artifact")
    saved(
        model([node("Identity", ["X"], ["Y"])], {"X": (STRING, ["N", "M"])}, {"Y": (STRING, ["N", "M"])}),
        directory,
    )
    manifest = Manifest(
        name="m",
        target="host",
        max_batch_size=2,
        inputs=tuple(TEXTS),
        outputs=(TensorSpec("Y", "object", (-1,)),),
        page_bytes=4096,
        segments=(),
        variants={size: Variant(size, 0, (), ()) for size in (1, 2)},
        origin={},
        runtime=ONNXRUNTIME,
        reason="texts",
    )
    return HostedModel(manifest, HostModel(directory, manifest))


def call(data: bytes, shape: tuple[int, ...]) -> InferenceCall:
    return InferenceCall(1, shape[0], (data,), 0, None, shapes=(shape,))


def joined(texts: list[bytes]) -> bytes:
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.integers(-2, 1 << 65) | st.integers(0, 3), max_size=3).map(tuple),
    st.binary(max_size=30) | st.lists(st.binary(max_size=3)).map(joined),
)
def test_whatever_is_accepted_is_answered(hosted: HostedModel, shape: tuple[int, ...], data: bytes) -> None:
    checker = RequestChecker(served())
    try:
        checked = checker.check(InferRequest([InputTensor("X", "BYTES", shape, data)]))
    except ServerError:
        return
    slot = memoryview(bytearray(SLOT_BYTES))
    write_calls(slot, hosted.manifest, 2, [call(data, shape)])
    assert checked.shapes == (shape,)
    hosted.infer(slot)
    (answer,) = read_answers(slot)
    if isinstance(answer, str):
        assert "is not UTF-8" in answer
    else:
        assert [(tensor.shape, bytes(tensor.data)) for tensor in answer] == [(shape, data)]  # type: ignore[arg-type]


def test_what_does_not_fit_a_slot_is_told_and_the_rest_is_answered(hosted: HostedModel) -> None:
    slot = memoryview(bytearray(SLOT_BYTES))
    long, short = joined([b"x" * SLOT_BYTES]), joined([b"x"])
    write_calls(slot, hosted.manifest, 2, [call(long, (1, 1)), call(short, (1, 1))])
    hosted.infer(slot)
    first, second = read_answers(slot)
    assert first == NO_ROOM
    assert not isinstance(second, str)
    assert bytes(second[0].data) == short  # type: ignore[arg-type]


def test_a_calibration_has_test_requests(hosted: HostedModel) -> None:
    slot = memoryview(bytearray(SLOT_BYTES))
    write_calls(slot, hosted.manifest, 2, [])
    _, count = requests_in(slot)
    reader = RecordReader(slot)
    records = [reader.read() for _ in range(count)]
    assert [record if isinstance(record, str) else bytes(record[0].data) for record in records] == [  # type: ignore[arg-type]
        joined([b"0"])
    ] * 2
