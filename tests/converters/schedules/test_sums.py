"""Long reductions lose less than sums made one product after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.converters.schedules.harness import AVX2, check, node, random

DEPTH = 4096


def _error(value: Any, truth: Any) -> float:
    return float(np.sqrt(np.mean((value - truth) ** 2) / np.mean(truth**2)))


def _one_after_the_other(left: Any, right: Any) -> Any:
    """The product of matrices in float32."""
    total = np.zeros((left.shape[0], right.shape[1]), np.float32)
    for k in range(left.shape[1]):
        total += left[:, k, None] * right[k]
    return total


@pytest.mark.parametrize("target", [None, AVX2])
def test_a_product_is_summed_in_pieces(target: Any) -> None:
    left, right = random(6, DEPTH), random(DEPTH, 32, seed=1)
    compiled = check([node("MatMul", ["x", "w"], ["y"])], {"x": left}, {"w": right}, target=target)
    truth = left.astype(np.float64) @ right.astype(np.float64)
    (result,) = compiled(left)
    assert _error(result, truth) < _error(_one_after_the_other(left, right), truth) / 3


@pytest.mark.parametrize(
    ("channels", "size"), [(DEPTH // 2, 1), (DEPTH // 16, 3), (200, 3)], ids=["1x1", "3x3", "odd"]
)
def test_a_convolution_is_summed_in_pieces(channels: int, size: int) -> None:
    image = random(1, channels, size + 1, size + 1)
    kernels, bias = random(32, channels, size, size, seed=1), random(32, seed=2)
    compiled = check([node("Conv", ["x", "w", "b"], ["y"])], {"x": image}, {"w": kernels, "b": bias})
    (result,) = compiled(image)
    patches = np.lib.stride_tricks.sliding_window_view(image[0], (size, size), (1, 2))
    rows = patches.transpose(1, 2, 0, 3, 4).reshape(4, -1)
    columns = kernels.reshape(32, -1).T
    truth = rows.astype(np.float64) @ columns.astype(np.float64) + bias
    summed = result[0].reshape(32, 4).T
    assert _error(summed, truth) < _error(_one_after_the_other(rows, columns) + bias, truth) / 2
