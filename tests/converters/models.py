"""Small ONNX models for tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT32, INT64, UINT32, BOOL, STRING = (
    TensorProto.FLOAT,
    TensorProto.INT32,
    TensorProto.INT64,
    TensorProto.UINT32,
    TensorProto.BOOL,
    TensorProto.STRING,
)
Dims = Sequence[int | str | None] | None
node = helper.make_node


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Dims]],
    outputs: Mapping[str, tuple[int, Dims]],
    weights: Mapping[str, np.ndarray] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of one graph; `inputs` and `outputs` by name with element type and dimensions."""
    graph = helper.make_graph(
        list(nodes),
        "graph",
        [helper.make_tensor_value_info(name, *value) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, *value) for name, value in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def saved(proto: onnx.ModelProto, directory: Path, name: str = "model.onnx") -> Path:
    path = directory / name
    onnx.save(proto, path)
    return path


def weights(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def sum_and_difference() -> onnx.ModelProto:
    """Two int32 inputs, two int32 outputs, no weights."""
    return model(
        [node("Add", ["INPUT0", "INPUT1"], ["OUTPUT0"]), node("Sub", ["INPUT0", "INPUT1"], ["OUTPUT1"])],
        {"INPUT0": (INT32, ["N", 16]), "INPUT1": (INT32, ["N", 16])},
        {"OUTPUT0": (INT32, ["N", 16]), "OUTPUT1": (INT32, ["N", 16])},
    )


def small_convnet() -> onnx.ModelProto:
    """Convolutions with normalisation and a shortcut, pooled to ten classes."""
    statistics = {name: np.abs(weights(8, seed=i)) + 0.5 for i, name in enumerate(["g", "b", "m", "v"])}
    return model(
        [
            node("Conv", ["x", "w1"], ["c1"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("BatchNormalization", ["c1", "g", "b", "m", "v"], ["n1"]),
            node("Relu", ["n1"], ["r1"]),
            node("Conv", ["r1", "w2", "b2"], ["c2"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
            node("Add", ["c2", "r1"], ["s"]),
            node("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
            node("GlobalAveragePool", ["p"], ["g1"]),
            node("Flatten", ["g1"], ["f"]),
            node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
            node("Softmax", ["y"], ["probabilities"]),
        ],
        {"x": (FLOAT, ["N", 3, 12, 12])},
        {"probabilities": (FLOAT, ["N", 10])},
        {
            "w1": weights(8, 3, 3, 3, seed=5),
            "w2": weights(8, 8, 3, 3, seed=6),
            "b2": weights(8, seed=7),
            "w3": weights(10, 8, seed=8),
            "b3": weights(10, seed=9),
            **statistics,
        },
    )


def embedding() -> onnx.ModelProto:
    """Integer indices into a table of seven rows, which random integers easily miss."""
    return model(
        [node("Gather", ["table", "tokens"], ["e"]), node("ReduceMean", ["e"], ["y"], axes=[1], keepdims=0)],
        {"tokens": (INT64, ["N", 5])},
        {"y": (FLOAT, ["N", 4])},
        {"table": weights(7, 4)},
    )


def softmax_over_batch() -> onnx.ModelProto:
    """A model whose rows depend on each other."""
    return model([node("Softmax", ["x"], ["y"], axis=0)], {"x": (FLOAT, ["N", 4])}, {"y": (FLOAT, ["N", 4])})
