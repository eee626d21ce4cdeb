"""Operators between and after convolutions, of shapes that fit no vector, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from tests.converters.schedules.harness import Compiled, check, imported, model, node, random

POOLS: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "max": ("MaxPool", (3, 20, 13, 12), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "max, rounded up": (
        "MaxPool",
        (1, 16, 13, 9),
        {"kernel_shape": [3, 2], "strides": [2, 2], "ceil_mode": 1},
    ),
    "max, dilated": ("MaxPool", (1, 16, 13, 9), {"kernel_shape": [3, 2], "dilations": [2, 3]}),
    "average": ("AveragePool", (2, 33, 9, 14), {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average with padding": (
        "AveragePool",
        (1, 16, 9, 14),
        {"kernel_shape": [3, 3], "pads": [1, 0, 1, 2], "strides": [2, 2], "count_include_pad": 1},
    ),
    "average of a row": ("AveragePool", (1, 5, 21), {"kernel_shape": [4], "strides": [3]}),
    "whole image": ("GlobalAveragePool", (2, 20, 5, 7), {}),
    "whole image, max": ("GlobalMaxPool", (2, 20, 5, 7), {}),
}


@pytest.mark.parametrize("case", POOLS, ids=lambda case: case.replace(" ", "-"))
def test_pooling(case: str) -> None:
    kind, shape, attributes = POOLS[case]
    check([node(kind, ["x"], ["y"], **attributes)], {"x": random(*shape)})


def test_local_response_normalization() -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("LRN", ["c"], ["y"], size=5, alpha=0.01, beta=0.75, bias=2.0),
    ]
    check(nodes, {"x": random(1, 16, 5, 6)}, {"w": random(36, 16, 1, 1, seed=1)})


@pytest.mark.parametrize("channels", [32, 20])
def test_branches_joined(channels: int) -> None:
    """Channels are joined whether or not they are whole blocks."""
    weights = {"w": random(channels, 16, 1, 1, seed=1), "v": random(24, 16, 1, 1, seed=2)}
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Conv", ["x", "v"], ["b"]),
        node("Concat", ["a", "b", "x"], ["c"], axis=1),
        node("Relu", ["c"], ["y"]),
    ]
    check(nodes, {"x": random(2, 16, 5, 6)}, weights)


def test_dense_block() -> None:
    """Every layer reads all earlier ones, normalised by itself."""
    weights = {"w": random(16, 16, 1, 1, seed=1), "u": random(16, 32, 1, 1, seed=2)}
    for name, channels in (("m", 32), ("n", 48)):
        weights[f"{name}_scale"] = random(channels, 1, 1, seed=3)
        weights[f"{name}_shift"] = random(channels, 1, 1, seed=4)
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Concat", ["x", "a"], ["p"], axis=1),
        node("Mul", ["p", "m_scale"], ["p1"]),
        node("Add", ["p1", "m_shift"], ["p2"]),
        node("Relu", ["p2"], ["p3"]),
        node("Conv", ["p3", "u"], ["b"]),
        node("Concat", ["p", "b"], ["q"], axis=1),
        node("Mul", ["q", "n_scale"], ["q1"]),
        node("Add", ["q1", "n_shift"], ["q2"]),
        node("Relu", ["q2"], ["y"]),
    ]
    check(nodes, {"x": random(2, 16, 4, 5)}, weights)


def test_channel_shuffle_and_split() -> None:
    weights = {"w": random(48, 16, 1, 1, seed=1), "v": random(16, 16, 1, 1, seed=2)}
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Reshape", ["a", "split"], ["b"]),
        node("Transpose", ["b"], ["c"], perm=[0, 2, 1, 3, 4]),
        node("Reshape", ["c", "joined"], ["d"]),
        node("Slice", ["d", "begin", "end", "axis"], ["e"]),
        node("Conv", ["e", "v"], ["y"]),
    ]
    shapes = {
        "split": np.array([2, 3, 16, 5, 6]),
        "joined": np.array([2, 48, 5, 6]),
        "begin": np.array([16]),
        "end": np.array([32]),
        "axis": np.array([1]),
    }
    check(nodes, {"x": random(2, 16, 5, 6)}, {**weights, **shapes})


def test_channels_to_the_end_and_back() -> None:
    """As in networks that alternate convolutions with layers on channels."""
    weights = {
        "w": random(24, 20, 1, 1, seed=1),
        "scale": random(24, seed=2),
        "shift": random(24, seed=3),
        "v": random(8, 24, 3, 3, seed=4),
    }
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Transpose", ["a"], ["b"], perm=[0, 2, 3, 1]),
        node("LayerNormalization", ["b", "scale", "shift"], ["c"]),
        node("Transpose", ["c"], ["d"], perm=[0, 3, 1, 2]),
        node("Add", ["d", "a"], ["e"]),
        node("Conv", ["e", "v"], ["y"]),
    ]
    check(nodes, {"x": random(2, 20, 5, 6)}, weights)


def test_images_side_by_side() -> None:
    """Joined and padded along a spatial axis."""
    weights = {"w": random(20, 16, 1, 1, seed=1), "pads": np.array([0, 0, 1, 2, 0, 0, 0, 3])}
    nodes = [
        node("Conv", ["x", "w"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("Concat", ["a", "b"], ["c"], axis=3),
        node("Pad", ["c", "pads"], ["y"]),
    ]
    check(nodes, {"x": random(1, 16, 4, 5)}, weights)


@pytest.mark.parametrize(
    ("scales", "attributes"),
    [
        (
            [1, 1, 2, 2],
            {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"},
        ),
        ([1, 1, 1.5, 0.5], {"mode": "nearest"}),
        ([1, 1, 2, 3], {"mode": "linear"}),
        ([1, 1, 2, 2], {"mode": "linear", "coordinate_transformation_mode": "align_corners"}),
    ],
)
def test_resizing(scales: list[float], attributes: dict[str, Any]) -> None:
    weights = {"w": random(20, 16, 1, 1, seed=1), "scales": np.array(scales, np.float32)}
    nodes = [node("Conv", ["x", "w"], ["a"]), node("Resize", ["a", "", "scales"], ["y"], **attributes)]
    assert "resampling" in check(nodes, {"x": random(2, 16, 4, 6)}, weights).kernels[2]


@pytest.mark.parametrize("dtype", ["float16", "float64", "int64", "int8", "bool"])
def test_transpositions_of_every_type(dtype: str) -> None:
    x = (random(3, 7, 21) * 9).astype(dtype)
    code = helper.np_dtype_to_tensor_dtype(x.dtype)
    nodes = [node("Transpose", ["x"], ["y"], perm=[0, 2, 1])]
    proto = model(nodes, {"x": (code, x.shape)}, {"y": (code, None)})
    (result,) = Compiled.of(imported(proto))(x)
    np.testing.assert_array_equal(result, x.transpose(0, 2, 1))
