"""Networks of halves on an emulated GPU: between their inputs and outputs they are computed in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.manifest import Launch, Manifest
from converters import device_code
from converters.convert import convert
from converters.request import ConversionRequest
from tests.converters.models import model, node, saved, weights
from tests.cuda.emulator import EmulatedArtifact, Emulator, needs_emulation, needs_nvcc

pytestmark = needs_emulation

Array = np.ndarray[Any, Any]
HALVES: dict[int, Any] = {TensorProto.FLOAT16: np.float16, TensorProto.BFLOAT16: ml_dtypes.bfloat16}
SIZES = (1, 4)
ULP = {TensorProto.FLOAT16: 2.0**-10, TensorProto.BFLOAT16: 2.0**-7}
"""The distance of neighbours, relative to them, at most: what the rounding of an output may cost twice."""


def convnet(kind: int) -> onnx.ModelProto:
    nodes = [
        node("Conv", ["x", "w1"], ["c1"], pads=[1, 1, 1, 1]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2", "b2"], ["c2"], pads=[1, 1, 1, 1]),
        node("Add", ["c2", "r1"], ["s"]),
        node("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("GlobalAveragePool", ["p"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "w3"], ["y"], transB=1),
    ]
    values = {"w1": weights(8, 3, 3, 3), "w2": weights(8, 8, 3, 3), "b2": weights(8), "w3": weights(10, 8)}
    return _of(kind, nodes, ["N", 3, 10, 10], ["N", 10], values)


def mlp(kind: int) -> onnx.ModelProto:
    nodes = [
        node("MatMul", ["x", "w1"], ["a"]),
        node("Add", ["a", "b1"], ["b"]),
        node("Relu", ["b"], ["r"]),
        node("MatMul", ["r", "w2"], ["y"]),
    ]
    values = {"w1": weights(48, 96) / 7, "b1": weights(96), "w2": weights(96, 20) / 10}
    return _of(kind, nodes, ["N", 5, 48], ["N", 5, 20], values)


def softmax(kind: int) -> onnx.ModelProto:
    return _of(kind, [node("Softmax", ["x"], ["y"], axis=-1)], ["N", 3, 40], ["N", 3, 40], {})


def layer_norm(kind: int) -> onnx.ModelProto:
    """Its results are moved before they leave."""
    nodes = [
        node("LayerNormalization", ["x", "scale", "shift"], ["n"], axis=-1),
        node("Transpose", ["n"], ["y"], perm=[0, 2, 1]),
    ]
    return _of(kind, nodes, ["N", 6, 40], ["N", 40, 6], {"scale": 1 + weights(40) / 9, "shift": weights(40)})


NETWORKS = (convnet, mlp, softmax, layer_norm)


def _of(
    kind: int,
    nodes: list[onnx.NodeProto],
    taken: list[int | str],
    given: list[int | str],
    values: dict[str, Array],
) -> onnx.ModelProto:
    dtype = HALVES.get(kind, np.float32)
    # Those of float32 are the same numbers, too.
    halves = {name: array.astype(np.float16).astype(ml_dtypes.bfloat16) for name, array in values.items()}
    arrays = {name: array.astype(np.float32).astype(dtype) for name, array in halves.items()}
    return model(nodes, {"x": (kind, taken)}, {"y": (kind, given)}, arrays)


def _converted(proto: onnx.ModelProto, directory: Path, precision: str = "fp32") -> Manifest:
    path = saved(proto, directory)
    (directory / "artifact").mkdir()
    request = ConversionRequest(path, "m", 4, SIZES, target="cuda", arch="sm_80", precision=precision)
    return convert(request, directory / "artifact", {}, lambda progress: None)


@pytest.fixture
def _without_nvcc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"")


@pytest.mark.usefixtures("_without_nvcc")
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("kind", HALVES)
def test_a_network_of_halves_is_as_good_as_one_of_floats(tmp_path: Path, network: Any, kind: int) -> None:
    """Against float32 it is off by the rounding of its outputs alone, which is less than the reference of
    halves is off; and against that one by what that one rounds."""
    proto = network(kind)
    manifest = _converted(proto, tmp_path)
    name = np.dtype(HALVES[kind]).name
    assert [tensor.dtype for tensor in (*manifest.inputs, *manifest.outputs)] == [name, name]
    assert "cuda_fp16" not in (tmp_path / "artifact" / "kernels.cu").read_text()
    exact = onnxruntime.InferenceSession(network(TensorProto.FLOAT).SerializeToString())
    reference = ReferenceEvaluator(proto)
    for size in SIZES:
        shape = (size, *manifest.inputs[0].shape)
        x = np.random.default_rng(size).standard_normal(shape).astype(HALVES[kind])
        runs = [EmulatedArtifact(tmp_path / "artifact", reverse=r).run(size, [x]) for r in (False, True)]
        ((y,), (other,)) = runs
        assert y.dtype == HALVES[kind]
        np.testing.assert_array_equal(y, other)
        (wanted,) = exact.run(None, {"x": x.astype(np.float32)})
        assert difference(wanted, y.astype(np.float32)) <= ULP[kind] / 2 + 1e-5
        (rounded,) = reference.run(None, {"x": x})
        assert difference(rounded.astype(np.float32), y.astype(np.float32)) <= 8 * ULP[kind]


@pytest.mark.usefixtures("_without_nvcc")
@pytest.mark.parametrize("precision", ["tf32", "fp16"])
def test_halves_are_products_factors_without_rounding(tmp_path: Path, precision: str) -> None:
    """Weights and inputs have no more than ten bits of fraction, so products are exact in any precision."""
    nodes = [node("MatMul", ["x", "w"], ["y"])]
    proto = _of(TensorProto.FLOAT16, nodes, ["N", 5, 48], ["N", 5, 20], {"w": weights(48, 20)})
    _converted(proto, tmp_path, precision)
    x = np.random.default_rng(1).standard_normal((1, 5, 48)).astype(np.float16)
    (y,) = EmulatedArtifact(tmp_path / "artifact").run(1, [x])
    (wanted,) = onnxruntime.InferenceSession(tmp_path / "model.onnx").run(None, {"x": x})
    assert difference(wanted.astype(np.float32), y.astype(np.float32)) <= ULP[TensorProto.FLOAT16] / 2


@pytest.mark.usefixtures("_without_nvcc")
def test_large_sums_stay_finite(tmp_path: Path) -> None:
    nodes = [node("Mul", ["x", "x"], ["s"]), node("ReduceMean", ["s"], ["y"], axes=[2])]
    _converted(_of(TensorProto.FLOAT16, nodes, ["N", 2, 600], ["N", 2, 1], {}), tmp_path)
    x = np.full((1, 2, 600), 250, np.float16)
    (y,) = EmulatedArtifact(tmp_path / "artifact").run(1, [x])
    np.testing.assert_array_equal(y, np.full((1, 2, 1), 62500, np.float16))


@needs_nvcc
def test_the_conversions_compile(tmp_path: Path) -> None:
    _converted(layer_norm(TensorProto.BFLOAT16), tmp_path)
    assert (tmp_path / "artifact" / "kernels.cubin").read_bytes().startswith(b"\x7fELF")


@pytest.mark.parametrize("kind", HALVES)
def test_every_half_becomes_its_float_and_comes_back(tmp_path: Path, kind: int) -> None:
    name = np.dtype(HALVES[kind]).name
    text = f"""{device_code.headers()}
KERNEL(256) convert(const unsigned short* halves, const float* given, float* wide, unsigned short* narrow) {{
  const int i = blockIdx.x * 256 + threadIdx.x;
  wide[i] = widen_{name}(halves[i]);
  narrow[i] = narrow_{name}(given[i]);
}}
"""
    halves = np.arange(1 << 16, dtype=np.uint16)
    every = halves.view(HALVES[kind]).astype(np.float32)
    random = np.random.default_rng(3).integers(0, 1 << 32, 1 << 16, dtype=np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        between = (every + np.roll(every, -1)) / 2
    for given in (every, random, between.astype(np.float32)):
        wide, narrow = np.empty_like(every), np.empty_like(halves)
        launch = Launch("convert", (256, 1, 1), (256, 1, 1), 0, (0, 1, 2, 3))
        Emulator(text, tmp_path).launch(launch, [a.ctypes.data for a in (halves, given, wide, narrow)])
        np.testing.assert_array_equal(wide, every)
        with np.errstate(all="ignore"):
            wanted = given.astype(HALVES[kind])
        number = ~np.isnan(given)
        np.testing.assert_array_equal(narrow[number], wanted.view(np.uint16)[number])
        assert np.isnan(narrow.view(HALVES[kind])[~number].astype(np.float32)).all()
