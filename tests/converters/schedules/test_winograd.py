"""Convolution by fewer multiplications: its matrices, and where it is chosen."""

from __future__ import annotations

import numpy as np
import pytest

from converters.schedules.cpu.toom import POINTS, toom
from tests.converters.schedules.harness import AVX2, Compiled, check, node, random


@pytest.mark.parametrize("outputs", POINTS)
def test_the_matrices_convolve(outputs: int) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal(outputs + 2), rng.standard_normal(3)
    method = toom(outputs)
    evaluate, kernel, interpolate = map(np.array, (method.evaluate, method.kernel, method.interpolate))
    fast = interpolate @ ((kernel @ w) * (evaluate @ x))
    np.testing.assert_allclose(fast, np.correlate(x, w), rtol=1e-12)
    assert method.products == outputs + 2


def convolve(shape: tuple[int, ...], filters: int, pads: list[int], **more: object) -> Compiled:
    weights = {"w": random(filters, shape[1], 3, 3, seed=1), "b": random(filters, seed=2)}
    nodes = [node("Conv", ["x", "w", "b"], ["c"], pads=pads), node("Relu", ["c"], ["y"])]
    return check(nodes, {"x": random(*shape)}, weights, **more)


@pytest.mark.parametrize(
    ("shape", "filters", "pads"),
    [
        ((1, 32, 16, 20), 32, [1, 1, 1, 1]),
        ((3, 20, 13, 15), 35, [1, 1, 1, 1]),
        ((1, 17, 14, 11), 16, [0, 0, 0, 0]),
        ((2, 64, 9, 8), 48, [2, 0, 1, 2]),
        ((1, 32, 57, 58), 32, [1, 1, 1, 1]),
    ],
)
def test_squares_of_every_border(shape: tuple[int, ...], filters: int, pads: list[int]) -> None:
    compiled = convolve(shape, filters, pads)
    assert any(name.startswith("winograd") for name in compiled.kernels)


def test_narrower_vectors() -> None:
    assert any(
        "winograd" in name for name in convolve((1, 32, 12, 12), 32, [1, 1, 1, 1], target=AVX2).kernels
    )


def test_residuals_and_several_results() -> None:
    weights = {"w": random(32, 32, 3, 3, seed=1), "s": random(32, 1, 1, seed=2)}
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]),
        node("Add", ["c", "x"], ["a"]),
        node("Mul", ["a", "s"], ["m"]),
        node("Relu", ["m"], ["r"]),
        node("Conv", ["r", "w"], ["d"], pads=[1, 1, 1, 1]),
        node("Add", ["d", "a"], ["y"]),
    ]
    compiled = check(nodes, {"x": random(2, 32, 10, 10)}, weights)
    assert sum("winograd" in name for name in compiled.kernels) == 2


def test_a_large_weight_for_a_small_image_stays_small() -> None:
    """Reading sixteen ninths of the weight would take longer than the multiplications saved."""
    compiled = convolve((1, 64, 2, 2), 64, [1, 1, 1, 1])
    assert not any("winograd" in name for name in compiled.kernels)
