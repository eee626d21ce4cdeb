"""Convolutions of shapes that fit no vector, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import pytest

from tests.converters.schedules.harness import AVX2, check, node, random

CASES: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "pointwise": ((1, 40, 9, 5), (24, 40, 1, 1), {}),
    "pointwise, strided": ((3, 17, 9, 8), (33, 17, 1, 1), {"strides": [2, 2]}),
    "few channels": ((1, 3, 19, 23), (20, 3, 7, 7), {"strides": [2, 2], "pads": [3, 3, 3, 3]}),
    "one pixel": ((2, 32, 1, 1), (48, 32, 1, 1), {}),
    "3x3": ((3, 18, 13, 15), (35, 18, 3, 3), {"pads": [1, 1, 1, 1], "strides": [1, 2]}),
    "dilated": ((1, 16, 20, 17), (16, 16, 3, 3), {"pads": [2, 3, 1, 0], "dilations": [3, 2]}),
    "all border": ((1, 16, 2, 2), (16, 16, 5, 5), {"pads": [2, 2, 2, 2]}),
    "asymmetric": ((1, 20, 8, 11), (9, 20, 2, 5), {"pads": [1, 0, 0, 3], "strides": [1, 3]}),
    "a row": ((2, 24, 31), (18, 24, 5), {"pads": [4, 0], "dilations": [2]}),
    "a volume": ((1, 17, 4, 5, 6), (16, 17, 2, 3, 3), {"pads": [0, 1, 1, 1, 1, 1]}),
    "groups of whole blocks": ((1, 64, 6, 7), (32, 32, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "groups within a block": ((2, 24, 6, 7), (24, 3, 3, 3), {"group": 8, "pads": [1, 1, 1, 1]}),
    "groups across blocks": ((1, 60, 5, 6), (36, 20, 1, 1), {"group": 3}),
    "wide groups": ((1, 10, 5, 6), (64, 5, 1, 1), {"group": 2}),
    "depthwise": ((3, 20, 11, 9), (20, 1, 3, 3), {"group": 20, "pads": [1, 1, 1, 1]}),
    "depthwise, strided": (
        (1, 33, 12, 21),
        (33, 1, 5, 3),
        {"group": 33, "strides": [2, 2], "pads": [0, 1, 2, 1]},
    ),
    "depthwise, multiplied": ((1, 12, 7, 7), (24, 1, 3, 3), {"group": 12}),
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.replace(" ", "-"))
def test_convolution(case: str) -> None:
    shape, filters, attributes = CASES[case]
    weights = {"w": random(*filters, seed=1), "b": random(filters[0], seed=2)}
    compiled = check([node("Conv", ["x", "w", "b"], ["y"], **attributes)], {"x": random(*shape)}, weights)
    assert any("convolution" in name or "depthwise" in name for name in compiled.kernels)


TRANSPOSED: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "doubling": ((2, 20, 5, 6), (20, 18, 2, 2), {"strides": [2, 2]}),
    "overlapping": ((1, 16, 5, 6), (16, 16, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "odd": (
        (1, 17, 4, 5),
        (17, 9, 3, 5),
        {"strides": [2, 3], "pads": [1, 2, 0, 1], "output_padding": [1, 0]},
    ),
    "with gaps": ((1, 16, 4, 5), (16, 16, 2, 2), {"strides": [3, 3]}),
    "dilated": ((1, 16, 6, 5), (16, 16, 3, 3), {"dilations": [2, 1], "pads": [1, 1, 1, 1]}),
    "groups": ((2, 32, 4, 4), (32, 8, 3, 3), {"strides": [2, 2], "group": 4}),
    "a row": ((2, 24, 11), (24, 18, 5), {"strides": [2]}),
}


@pytest.mark.parametrize("case", TRANSPOSED, ids=lambda case: case.replace(" ", "-"))
def test_transposed_convolution(case: str) -> None:
    shape, filters, attributes = TRANSPOSED[case]
    weights = {"w": random(*filters, seed=1), "b": random(filters[1] * attributes.get("group", 1), seed=2)}
    nodes = [node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes)]
    compiled = check(nodes, {"x": random(*shape)}, weights)
    assert any("deconvolution" in name for name in compiled.kernels)


def test_narrower_vectors() -> None:
    weights = {"w": random(20, 12, 3, 3, seed=1), "d": random(20, 1, 3, 3, seed=2)}
    nodes = [
        node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "d"], ["y"], group=20),
    ]
    check(nodes, {"x": random(1, 12, 9, 10)}, weights, target=AVX2)


def test_what_follows_is_fused() -> None:
    """Bias, BatchNormalization, residual and activation all happen in the convolution's kernel."""
    weights = {
        "w": random(32, 32, 3, 3, seed=1),
        "b": random(32, seed=2),
        "scale": random(32, seed=3),
        "shift": random(32, seed=4),
        "mean": random(32, seed=5),
        "variance": random(32, seed=6) ** 2 + 0.5,
    }
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"]),
        node("Add", ["n", "x"], ["s"]),
        node("Relu", ["s"], ["y"]),
    ]
    compiled = check(nodes, {"x": random(2, 32, 4, 4)}, weights)
    assert [name.split("_")[0] for name in compiled.kernels] == ["block", "convolution", "unblock"]


def test_gates_and_values_used_twice() -> None:
    """x * sigmoid(x), scaled by channel with what a second convolution makes of the means."""
    weights = {"w": random(24, 20, 1, 1, seed=1), "g": random(24, 24, 1, 1, seed=2)}
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Sigmoid", ["c"], ["s"]),
        node("Mul", ["c", "s"], ["a"]),
        node("GlobalAveragePool", ["a"], ["p"]),
        node("Conv", ["p", "g"], ["q"]),
        node("HardSigmoid", ["q"], ["r"], alpha=1 / 6, beta=0.5),
        node("Mul", ["a", "r"], ["m"]),
        node("Add", ["m", "c"], ["y"]),
    ]
    check(nodes, {"x": random(3, 20, 5, 7)}, weights)
