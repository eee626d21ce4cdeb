"""Resize against ONNX Runtime: of scales that are not the ratios of sizes, and of some axes alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from converters.request import ConversionError
from tests.converters.models import FLOAT
from tests.converters.schedules.harness import check, imported, model, node, random

SCALES = [1, 1, 1.3, 0.7]
HALF = ("half_pixel", "pytorch_half_pixel", "asymmetric", "half_pixel_symmetric")


def resized(scales: list[float], shape: tuple[int, ...] = (2, 3, 6, 9), **attributes: Any) -> None:
    weights = {"scales": np.array(scales, np.float32)}
    check([node("Resize", ["x", "", "scales"], ["y"], **attributes)], {"x": random(*shape)}, weights)


@pytest.mark.parametrize("coordinates", HALF)
@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
def test_the_scale_is_the_one_that_is_given(mode: str, coordinates: str) -> None:
    resized(SCALES, mode=mode, coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_nearest_elements_however_they_are_rounded(rounding: str) -> None:
    resized(SCALES, mode="nearest", nearest_mode=rounding)


def test_the_outside_may_be_left_out() -> None:
    resized(SCALES, mode="cubic", exclude_outside=1, cubic_coeff_a=-0.5)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_only_the_axes_named(mode: str) -> None:
    resized([1.3, 0.7], mode=mode, axes=[2, 3])


@pytest.mark.parametrize("policy", ["stretch", "not_larger", "not_smaller"])
def test_sizes_that_keep_the_aspect_ratio(policy: str) -> None:
    weights = {"sizes": np.array([9, 7])}
    nodes = [
        node(
            "Resize",
            ["x", "", "", "sizes"],
            ["y"],
            mode="linear",
            axes=[2, 3],
            keep_aspect_ratio_policy=policy,
        )
    ]
    check(nodes, {"x": random(1, 2, 6, 9)}, weights)


def test_smoothing_is_refused() -> None:
    nodes = [node("Resize", ["x", "", "scales"], ["y"], mode="linear", antialias=1)]
    weights = {"scales": np.array(SCALES, np.float32)}
    with pytest.raises(ConversionError, match="antialias"):
        imported(model(nodes, {"x": (FLOAT, (1, 2, 6, 9))}, {"y": (FLOAT, None)}, weights))
