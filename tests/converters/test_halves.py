"""Networks of halves, computed in float32."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from clockwork_triton.datatypes import TensorSpec
from converters import tolerances
from converters.convert import convert
from converters.execute import LoadedArtifact
from converters.halves import widened
from converters.request import ConversionError, ConversionRequest
from converters.source import Source, read_source
from tests.converters.models import BOOL, FLOAT, INT64, model, node, saved, small_convnet, weights

FLOAT16, BFLOAT16 = TensorProto.FLOAT16, TensorProto.BFLOAT16
HALVES: dict[int, Any] = {FLOAT16: np.float16, BFLOAT16: ml_dtypes.bfloat16}


def _read(proto: onnx.ModelProto, directory: Path) -> Source:
    return read_source(saved(proto, directory))


def _attribute(entry: onnx.NodeProto, name: str) -> Any:
    return next(helper.get_attribute_value(x) for x in entry.attribute if x.name == name)


def _converted(proto: onnx.ModelProto, directory: Path) -> LoadedArtifact:
    artifact = directory / "artifact"
    artifact.mkdir()
    convert(ConversionRequest(saved(proto, directory), "m", 0, (1,)), artifact, {}, lambda progress: None)
    return LoadedArtifact(artifact)


def test_a_model_without_halves_stays_what_it_is(tmp_path: Path) -> None:
    source = _read(small_convnet(), tmp_path)
    same, halves = widened(source)
    assert same is source
    assert halves == frozenset()


@pytest.mark.parametrize("kind", HALVES)
def test_halves_are_left_at_the_inputs_and_outputs_alone(tmp_path: Path, kind: int) -> None:
    half = HALVES[kind]
    constant = numpy_helper.from_array(np.asarray([0.5], half), "value")
    proto = model(
        [
            node("MatMul", ["x", "w"], ["a"]),
            node("Constant", [], ["c"], value=constant),
            node("Mul", ["a", "c"], ["y"]),
            node("Cast", ["counts"], ["k"], to=kind),
            node("Add", ["y", "k"], ["z"]),
        ],
        {"x": (kind, [2, 4]), "counts": (INT64, [2, 3])},
        {"y": (kind, [2, 3]), "z": (kind, [2, 3])},
        {"w": weights(4, 3).astype(half)},
    )
    source = _read(proto, tmp_path)
    wide, halves = widened(source)
    assert halves == {np.dtype(half).name}
    assert [wide.graph.input, wide.graph.output] == [source.graph.input, source.graph.output]
    assert {str(array.dtype) for array in wide.weights.values()} == {"float32"}
    np.testing.assert_array_equal(wide.weights["w"], source.weights["w"].astype(np.float32))
    casts = [entry for entry in wide.graph.node if entry.op_type == "Cast"]
    assert [(entry.input[0], _attribute(entry, "to")) for entry in casts] == [
        ("x", FLOAT),
        ("counts", FLOAT),
        *([("k::float", kind), ("k::half", FLOAT)] if kind == FLOAT16 else []),
        ("y::wide", kind),
        ("z::wide", kind),
    ]
    (given,) = (entry for entry in wide.graph.node if entry.op_type == "Constant")
    assert _attribute(given, "value").data_type == FLOAT
    (sums,) = (entry for entry in wide.graph.node if entry.op_type == "Add")
    assert list(sums.input) == ["y::wide", "k"]


def test_branches_are_widened_too(tmp_path: Path) -> None:
    def branch(op: str) -> onnx.GraphProto:
        two = numpy_helper.from_array(np.float16([2]), f"two_{op}")
        value = helper.make_tensor_value_info(f"r_{op}", FLOAT16, [3])
        return helper.make_graph([node(op, ["x", two.name], [value.name])], op, [], [value], [two])

    proto = model(
        [node("If", ["flag"], ["y"], then_branch=branch("Add"), else_branch=branch("Mul"))],
        {"x": (FLOAT16, [3])},
        {"y": (FLOAT16, [3])},
        {"flag": np.array(False)},
    )
    (result,) = _converted(proto, tmp_path).run(1, [np.float16([1, 2, 3])])
    np.testing.assert_array_equal(result, np.float16([2, 4, 6]))


def test_an_input_that_is_an_output_and_a_weight_that_is_one(tmp_path: Path) -> None:
    proto = model(
        [node("Identity", ["x"], ["same"]), node("Identity", ["w"], ["fixed"]), node("Neg", ["x"], ["y"])],
        {"x": (FLOAT16, [3])},
        {"same": (FLOAT16, [3]), "fixed": (FLOAT16, [2]), "y": (FLOAT16, [3])},
        {"w": np.float16([1.5, -2.0])},
    )
    x = np.float16([1e-7, np.inf, -65504])
    same, fixed, negative = _converted(proto, tmp_path).run(1, [x])
    np.testing.assert_array_equal(same, x)
    np.testing.assert_array_equal(fixed, np.float16([1.5, -2.0]))
    np.testing.assert_array_equal(negative, -x)


def test_sums_are_those_of_float32(tmp_path: Path) -> None:
    """In halves the sum of squares would be infinite, and of 4,096 small numbers a half of what it is."""
    proto = model(
        [
            node("Mul", ["x", "x"], ["squares"]),
            node("ReduceMean", ["squares"], ["mean"], axes=[1]),
            node("ReduceSum", ["small"], ["total"], keepdims=1),
        ],
        {"x": (FLOAT16, [2, 64]), "small": (FLOAT16, [1, 4096])},
        {"mean": (FLOAT16, [2, 1]), "total": (FLOAT16, [1, 1])},
    )
    artifact = _converted(proto, tmp_path)
    assert artifact.manifest.outputs[0] == TensorSpec("mean", "float16", (2, 1))
    x, small = np.full((2, 64), 200, np.float16), np.full((1, 4096), 1e-3, np.float16)
    mean, total = artifact.run(1, [x, small])
    np.testing.assert_array_equal(mean, np.float16([[40000], [40000]]))
    np.testing.assert_allclose(total, [[4.096]], rtol=1e-3)


def test_halves_between_floats_are_judged_as_halves(tmp_path: Path) -> None:
    """The reference rounds where the artifact does not."""
    proto = model(
        [
            node("Cast", ["x"], ["h"], to=FLOAT16),
            node("MatMul", ["h", "w"], ["p"]),
            node("Cast", ["p"], ["f"], to=FLOAT),
            node("Where", ["keep", "f", "x"], ["y"]),
        ],
        {"x": (FLOAT, [8, 64]), "keep": (BOOL, [8, 64])},
        {"y": (FLOAT, [8, 64])},
        {"w": weights(64, 64).astype(np.float16)},
    )
    artifact = _converted(proto, tmp_path)
    assert {t.dtype for t in artifact.manifest.variants[1].tensors} == {"float32", "bool"}


def test_a_reference_that_is_off_itself_is_no_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Around 64 halves are 1/2 apart: the reference loses what it then takes the difference of."""
    nodes = [node("Add", ["x", "large"], ["a"]), node("Sub", ["a", "large"], ["y"])]
    large = np.asarray([64], ml_dtypes.bfloat16)
    proto = model(nodes, {"x": (BFLOAT16, [64])}, {"y": (BFLOAT16, [64])}, {"large": large})
    x = np.random.default_rng(1).standard_normal(64).astype(ml_dtypes.bfloat16)
    (y,) = _converted(proto, tmp_path).run(1, [x])
    np.testing.assert_allclose(y.astype(np.float32), x.astype(np.float32), atol=1e-4)
    monkeypatch.setattr(tolerances, "HALVES_MARGIN", 0.0)
    (tmp_path / "again").mkdir()
    with pytest.raises(ConversionError, match="disagrees with onnx"):
        _converted(proto, tmp_path / "again")


@pytest.mark.parametrize("kind", HALVES)
def test_both_kinds_are_served_on_a_cpu(tmp_path: Path, kind: int) -> None:
    """512 columns: summed up in halves, as TVM does, they would be refused."""
    half = HALVES[kind]
    w = (weights(512, 64) / 22).astype(half)
    nodes = [node("MatMul", ["x", "w"], ["p"]), node("Relu", ["p"], ["y"])]
    proto = model(nodes, {"x": (kind, [8, 512])}, {"y": (kind, [8, 64])}, {"w": w})
    artifact = _converted(proto, tmp_path)
    x = weights(8, 512, seed=1).astype(half)
    (y,) = artifact.run(1, [x])
    assert y.dtype == half
    wanted = np.maximum(x.astype(np.float32) @ w.astype(np.float32), 0).astype(half)
    wide, exact = y.astype(np.float32), wanted.astype(np.float32)
    np.testing.assert_allclose(wide, exact, rtol=float(ml_dtypes.finfo(half).eps), atol=1e-5)


def test_what_is_cast_to_float16_is_rounded(tmp_path: Path) -> None:
    nodes = [
        node("Cast", ["x"], ["half"], to=FLOAT16),
        node("Cast", ["half"], ["whole"], to=TensorProto.INT32),
        node("Cast", ["half"], ["wide"], to=FLOAT),
        node("IsInf", ["wide"], ["infinite"]),
    ]
    outputs = {"whole": (TensorProto.INT32, [4]), "wide": (FLOAT, [4]), "infinite": (BOOL, [4])}
    artifact = _converted(model(nodes, {"x": (FLOAT, [4])}, outputs), tmp_path)
    x = np.float32([2.9999, 60000.0, 4097, -1e9])
    whole, wide, infinite = artifact.run(1, [x])
    with np.errstate(over="ignore"):
        rounded = x.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(wide, rounded)
    np.testing.assert_array_equal(whole[:3], rounded[:3].astype(np.int32))
    np.testing.assert_array_equal(infinite, np.isinf(rounded))


def test_a_cast_of_halves_to_what_they_are_is_none(tmp_path: Path) -> None:
    nodes = [node("Relu", ["x"], ["r"]), node("Cast", ["r"], ["c"], to=FLOAT16), node("Abs", ["c"], ["y"])]
    proto = model(nodes, {"x": (FLOAT16, [4])}, {"y": (FLOAT16, [4])})
    wide, _ = widened(_read(proto, tmp_path))
    casts = [entry for entry in wide.graph.node if entry.op_type == "Cast" and entry.input[0] == "r"]
    assert [(entry.output[0], _attribute(entry, "to")) for entry in casts] == [("c", FLOAT)]
