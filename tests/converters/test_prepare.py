"""What is left of a graph when it is prepared, and that it still means the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from converters.prepare import Prepared, prepare
from converters.request import ConversionError
from converters.source import read_source
from tests.converters.models import (
    BOOL,
    FLOAT,
    INT32,
    INT64,
    UINT32,
    model,
    node,
    saved,
    small_convnet,
    weights,
)


def prepared(proto: onnx.ModelProto, tmp_path: Path, **shapes: tuple[int, ...]) -> Prepared:
    source = read_source(saved(proto, tmp_path))
    return prepare(source, shapes, [value.name for value in proto.graph.output])


def kinds(result: Prepared) -> list[str]:
    return [node.op_type for node in result.graph.node]


def run(result: Prepared, **feeds: np.ndarray) -> list[np.ndarray]:
    graph = onnx.GraphProto()
    graph.CopyFrom(result.graph)
    graph.initializer.extend(numpy_helper.from_array(a, name) for name, a in result.weights.items())
    opset = helper.make_opsetid("", result.opset)
    return list(ReferenceEvaluator(helper.make_model(graph, opset_imports=[opset])).run(None, feeds))


def same_as_before(proto: onnx.ModelProto, result: Prepared, **feeds: np.ndarray) -> None:
    for want, have in zip(ReferenceEvaluator(proto).run(None, feeds), run(result, **feeds), strict=True):
        np.testing.assert_allclose(have, want, rtol=1e-4, atol=1e-5)


def test_normalisations_go_into_convolutions(tmp_path: Path) -> None:
    proto = small_convnet()
    result = prepared(proto, tmp_path, x=(2, 3, 12, 12))
    assert "BatchNormalization" not in kinds(result)
    assert not {"g", "b", "m", "v", "w1"} & set(result.weights)
    same_as_before(proto, result, x=weights(2, 3, 12, 12))


def statistics(channels: int) -> dict[str, np.ndarray]:
    return {name: np.abs(weights(channels, seed=i)) + 0.5 for i, name in enumerate("gbmv")}


def test_scales_and_shifts_after_a_normalisation_are_merged(tmp_path: Path) -> None:
    proto = model(
        [
            node("Relu", ["x"], ["r"]),
            node("BatchNormalization", ["r", "g", "b", "m", "v"], ["n"], epsilon=0.1),
            node("Mul", ["n", "scale"], ["s"]),
            node("Sub", ["s", "shift"], ["t"]),
            node("Div", ["t", "two"], ["y"]),
        ],
        {"x": (FLOAT, [2, 3, 4, 4])},
        {"y": (FLOAT, None)},
        {**statistics(3), "scale": weights(3, 1, 1), "shift": weights(1, 3, 1, 1), "two": np.float32([2])},
    )
    result = prepared(proto, tmp_path, x=(2, 3, 4, 4))
    assert kinds(result) == ["Relu", "Mul", "Add"]
    same_as_before(proto, result, x=weights(2, 3, 4, 4))


def test_a_convolution_used_twice_keeps_its_weights(tmp_path: Path) -> None:
    proto = model(
        [
            node("Conv", ["x", "w"], ["c"]),
            node("BatchNormalization", ["c", "g", "b", "m", "v"], ["n"]),
            node("Add", ["c", "n"], ["y"]),
        ],
        {"x": (FLOAT, [1, 2, 4, 4])},
        {"y": (FLOAT, None)},
        {**statistics(3), "w": weights(3, 2, 1, 1)},
    )
    result = prepared(proto, tmp_path, x=(1, 2, 4, 4))
    assert "w" in result.weights
    same_as_before(proto, result, x=weights(1, 2, 4, 4))


def test_a_constant_of_another_shape_is_no_shift(tmp_path: Path) -> None:
    """One value for each column is not one for each channel."""
    proto = model(
        [node("Conv", ["x", "w"], ["c"]), node("Add", ["c", "columns"], ["y"])],
        {"x": (FLOAT, [1, 2, 3, 3])},
        {"y": (FLOAT, None)},
        {"w": weights(3, 2, 1, 1), "columns": weights(3)},
    )
    result = prepared(proto, tmp_path, x=(1, 2, 3, 3))
    assert kinds(result) == ["Conv", "Add"]
    same_as_before(proto, result, x=weights(1, 2, 3, 3))


def test_what_does_nothing_is_dropped(tmp_path: Path) -> None:
    proto = model(
        [
            node("Identity", ["x"], ["a"]),
            node("Dropout", ["a"], ["b"]),
            node("Relu", ["b"], ["c"]),
            node("Identity", ["c"], ["y"]),
            node("Sigmoid", ["c"], ["unused"]),
        ],
        {"x": (FLOAT, [3])},
        {"y": (FLOAT, None)},
    )
    assert kinds(prepared(proto, tmp_path, x=(3,))) == ["Relu", "Identity"]


def test_dropout_in_training_mode_is_refused(tmp_path: Path) -> None:
    proto = model(
        [node("Dropout", ["x", "ratio", "training"], ["y"])],
        {"x": (FLOAT, [3])},
        {"y": (FLOAT, None)},
        {"ratio": np.float32(0.5), "training": np.array(True)},
    )
    with pytest.raises(ConversionError, match="training mode, which is random"):
        prepared(proto, tmp_path, x=(3,))


def branches(condition_is_input: bool) -> onnx.ModelProto:
    def branch(op: str) -> onnx.GraphProto:
        result = helper.make_tensor_value_info(f"{op}_result", FLOAT, None)
        nodes = [node(op, ["inner"], [f"{op}_mid"]), node("Add", [f"{op}_mid", "w"], [f"{op}_result"])]
        return helper.make_graph(nodes, op, [], [result])

    return model(
        [
            node("Neg", ["x"], ["inner"]),
            node("If", ["flag"], ["y"], then_branch=branch("Relu"), else_branch=branch("Abs")),
        ],
        {"x": (FLOAT, [3]), **({"flag": (BOOL, [])} if condition_is_input else {})},
        {"y": (FLOAT, [3])},
        {"w": weights(3), **({} if condition_is_input else {"flag": np.array(False)})},
    )


def test_a_decided_branch_is_inlined(tmp_path: Path) -> None:
    result = prepared(branches(condition_is_input=False), tmp_path, x=(3,))
    assert kinds(result) == ["Neg", "Abs", "Add", "Identity"]
    same_as_before(branches(condition_is_input=False), result, x=weights(3))


def test_weights_that_are_computed_become_weights(tmp_path: Path) -> None:
    proto = model(
        [
            node("ConstantOfShape", ["shape"], ["ones"], value=numpy_helper.from_array(np.float32([1]))),
            node("Transpose", ["w"], ["t"], perm=[1, 0]),
            node("Add", ["t", "ones"], ["sum"]),
            node("MatMul", ["x", "sum"], ["y"]),
        ],
        {"x": (FLOAT, [2, 3])},
        {"y": (FLOAT, None)},
        {"w": weights(4, 3), "shape": np.array([3, 4], np.int64)},
    )
    result = prepared(proto, tmp_path, x=(2, 3))
    assert kinds(result) == ["MatMul"]
    assert list(result.weights) == ["sum"]
    same_as_before(proto, result, x=weights(2, 3))


def test_random_nodes_are_not_frozen(tmp_path: Path) -> None:
    proto = model(
        [node("RandomNormal", [], ["noise"], shape=[3]), node("Add", ["x", "noise"], ["y"])],
        {"x": (FLOAT, [3])},
        {"y": (FLOAT, None)},
    )
    assert kinds(prepared(proto, tmp_path, x=(3,))) == ["RandomNormal", "Add"]


def test_chains_of_reshapes_become_one(tmp_path: Path) -> None:
    proto = model(
        [
            node("Relu", ["x"], ["r"]),
            node("Flatten", ["r"], ["f"]),
            node("Unsqueeze", ["f", "axis"], ["u"]),
            node("Transpose", ["u"], ["t"], perm=[1, 0, 2]),
            node("Sigmoid", ["t"], ["y"]),
        ],
        {"x": (FLOAT, [2, 3, 4])},
        {"y": (FLOAT, None)},
        {"axis": np.array([1], np.int64)},
    )
    result = prepared(proto, tmp_path, x=(2, 3, 4))
    assert kinds(result) == ["Relu", "Reshape", "Sigmoid"]
    same_as_before(proto, result, x=weights(2, 3, 4))


def test_a_real_transpose_stays(tmp_path: Path) -> None:
    proto = model(
        [node("Transpose", ["x"], ["y"], perm=[1, 0])], {"x": (FLOAT, [2, 3])}, {"y": (FLOAT, None)}
    )
    assert kinds(prepared(proto, tmp_path, x=(2, 3))) == ["Transpose"]


def test_inputs_that_are_indices_are_found(tmp_path: Path) -> None:
    proto = model(
        [
            node("Cast", ["tokens"], ["t"], to=INT64),
            node("Gather", ["table", "t"], ["rows"]),
            node("Gather", ["small", "t"], ["other"]),
            node("GatherND", ["table", "pairs"], ["cells"]),
            node("Cast", ["mask"], ["m"], to=FLOAT),
        ],
        {"tokens": (INT32, [3]), "pairs": (INT64, [2, 2]), "mask": (INT64, [3])},
        dict.fromkeys(("rows", "other", "cells", "m"), (FLOAT, None)),
        {"table": weights(7, 4), "small": weights(5, 1)},
    )
    result = prepared(proto, tmp_path, tokens=(3,), pairs=(2, 2), mask=(3,))
    assert result.index_limits == {"tokens": 5, "pairs": 4}
    feeds = {"tokens": np.array([0, -5, 4], np.int32), "pairs": np.array([[6, 3], [-7, -4]])}
    same_as_before(proto, result, **feeds, mask=np.array([0, 1, 1]))


def test_harmless_integers_are_left_alone(tmp_path: Path) -> None:
    proto = model(
        [node("Div", ["x", "two"], ["half"]), node("BitShift", ["half", "two"], ["y"], direction="LEFT")],
        {"x": (UINT32, [3])},
        {"y": (UINT32, [3])},
        {"two": np.uint32([2])},
    )
    assert kinds(prepared(proto, tmp_path, x=(3,))) == ["Div", "BitShift"]


def test_operators_that_onnx_defines_by_others_are_expanded(tmp_path: Path) -> None:
    """Celu leaves alpha to its default, which must not be lost on the way."""
    proto = model(
        [node("Celu", ["x"], ["c"]), node("Swish", ["c"], ["y"], alpha=0.5)],
        {"x": (FLOAT, [5])},
        {"y": (FLOAT, [5])},
        opset=24,
    )
    result = prepared(proto, tmp_path, x=(5,))
    assert not {"Celu", "Swish", "CastLike"} & set(kinds(result))
    same_as_before(proto, result, x=weights(5))


def test_functions_of_the_model_are_inlined(tmp_path: Path) -> None:
    proto = model([node("Twice", ["x"], ["y"], domain="mine")], {"x": (FLOAT, [3])}, {"y": (FLOAT, [3])})
    opsets = [helper.make_opsetid("", 17)]
    body = [node("Add", ["a", "a"], ["b"]), node("Relu", ["b"], ["c"])]
    proto.functions.append(helper.make_function("mine", "Twice", ["a"], ["c"], body, opsets))
    proto.opset_import.append(helper.make_opsetid("mine", 1))
    result = prepared(proto, tmp_path, x=(3,))
    assert kinds(result) == ["Add", "Relu"]
    same_as_before(proto, result, x=weights(3))
