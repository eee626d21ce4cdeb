"""Both runtimes on models that cannot be compiled."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from clockwork_triton.artifact.host import EVALUATOR, ONNXRUNTIME, HostError, HostModel, encode, test_inputs
from clockwork_triton.artifact.manifest import Manifest, Variant
from clockwork_triton.artifact.records import Tensor
from clockwork_triton.datatypes import TensorSpec
from tests.converters.models import FLOAT, INT64, STRING, model, node

RUNTIMES = pytest.mark.parametrize("runtime", [ONNXRUNTIME, EVALUATOR])
test_inputs.__test__ = False  # type: ignore[attr-defined]


def opened(
    directory: Path,
    runtime: str,
    proto: onnx.ModelProto,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    max_batch_size: int = 4,
) -> HostModel:
    onnx.save(proto, directory / "model.onnx")
    manifest = Manifest(
        name="m",
        target="host",
        max_batch_size=max_batch_size,
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        page_bytes=4096,
        segments=(),
        variants={1: Variant(1, 0, (), ())},
        origin={},
        runtime=runtime,
        reason="a test",
    )
    return HostModel(directory, manifest)


def identity(directory: Path, runtime: str) -> HostModel:
    proto = model([node("Identity", ["x"], ["y"])], {"x": (STRING, ["N", "M"])}, {"y": (STRING, ["N", "M"])})
    spec = TensorSpec("x", "object", (-1,))
    return opened(directory, runtime, proto, [spec], [replace(spec, name="y")])


@RUNTIMES
def test_texts_of_any_length_and_number(tmp_path: Path, runtime: str) -> None:
    served = identity(tmp_path, runtime)
    for texts in ([["a", "", "ü"]], [["x"], ["yz"]], [["a\0b"]]):
        array = np.array(texts, object)
        (answer,) = served.run([Tensor(array.shape, memoryview(encode(array)))])
        assert (answer.shape, answer.data) == (array.shape, encode(array))


@RUNTIMES
def test_what_reads_no_text_takes_any_bytes(tmp_path: Path, runtime: str) -> None:
    nodes = [node("Identity", ["x"], ["h"]), node("Concat", ["h", "x"], ["y"], axis=1)]
    proto = model(nodes, {"x": (STRING, ["N", 1])}, {"y": (STRING, ["N", 2])})
    specs = TensorSpec("x", "object", (1,)), TensorSpec("y", "object", (2,))
    text = bytes(range(256)) + "ü\0".encode()
    (answer,) = opened(tmp_path, runtime, proto, [specs[0]], [specs[1]]).run(
        [Tensor((1, 1), encode(np.array([text], object)))]
    )
    assert answer == Tensor((1, 2), encode(np.array([text, text], object)))


@RUNTIMES
def test_what_is_no_text_is_named(tmp_path: Path, runtime: str) -> None:
    proto = model([node("Cast", ["x"], ["y"], to=INT64)], {"x": (STRING, ["N", 2])}, {"y": (INT64, ["N", 2])})
    specs = TensorSpec("x", "object", (2,)), TensorSpec("y", "int64", (2,))
    with pytest.raises(HostError, match="element 1 of input 'x' is not UTF-8"):
        opened(tmp_path, runtime, proto, [specs[0]], [specs[1]]).run(
            [Tensor((1, 2), b"\x01\0\0\0001\x01\0\0\0\xff")]
        )


@RUNTIMES
def test_the_size_of_an_output_may_depend_on_the_data(tmp_path: Path, runtime: str) -> None:
    proto = model([node("NonZero", ["x"], ["y"])], {"x": (FLOAT, [4])}, {"y": (INT64, [1, "found"])})
    served = opened(
        tmp_path,
        runtime,
        proto,
        [TensorSpec("x", "float32", (4,))],
        [TensorSpec("y", "int64", (1, -1))],
        max_batch_size=0,
    )
    (answer,) = served.run([Tensor((4,), np.array([0, 1, 0, 2], np.float32).tobytes())])
    assert answer.shape == (1, 2)
    assert np.frombuffer(answer.data, np.int64).tolist() == [1, 3]


@RUNTIMES
@pytest.mark.parametrize(
    ("promised", "said"),
    [
        (TensorSpec("y", "object", (3,)), r"output 'y' has shape \[1, 1\], not \[1, 3\] for as many rows"),
        (TensorSpec("y", "int64", (-1,)), "output 'y' is of type .*, not int64"),
    ],
)
def test_an_output_that_is_not_as_promised_is_none(
    tmp_path: Path, runtime: str, promised: TensorSpec, said: str
) -> None:
    proto = model([node("Identity", ["x"], ["y"])], {"x": (STRING, ["N", "M"])}, {"y": (STRING, ["N", "M"])})
    served = opened(tmp_path, runtime, proto, [TensorSpec("x", "object", (-1,))], [promised])
    with pytest.raises(HostError, match=said):
        served.run([Tensor((1, 1), b"\x01\0\0\0a")])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64"])
def test_numbers_of_every_size(tmp_path: Path, dtype: str) -> None:
    kind = onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    proto = model([node("Identity", ["x"], ["y"])], {"x": (kind, ["N"])}, {"y": (kind, ["N"])})
    spec = TensorSpec("x", dtype, ())
    served = opened(tmp_path, ONNXRUNTIME, proto, [spec], [replace(spec, name="y")])
    data = np.array([0, 1, 1], dtype).tobytes()
    assert served.run([Tensor((3,), data)]) == [Tensor((3,), data)]
