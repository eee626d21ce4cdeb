"""Resize where TVM's importer errs: it knows sizes alone, and takes the ratio of two sizes for the scale.

Each axis is resized by itself: elements taken at places known here, times weights known here, added up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import tvm
from tvm import relax

from converters.request import ConversionError

Array = np.ndarray[Any, Any]


class Axis(NamedTuple):
    """`size` elements become `output`, which is `scale * size` before rounding."""

    size: int
    output: int
    scale: float


def _half_pixel(out: Array, axis: Axis) -> Array:
    position: Array = (out + 0.5) / np.float32(axis.scale) - 0.5
    return position


def _symmetric(out: Array, axis: Axis) -> Array:
    adjustment = axis.output / (axis.scale * axis.size)
    return axis.size / 2 * (1 - adjustment) + _half_pixel(out, axis)


# From positions in the output to positions in the input, in the words of ONNX.
_COORDINATES: Mapping[str, Callable[[Array, Axis], Array]] = {
    "half_pixel": _half_pixel,
    "half_pixel_symmetric": _symmetric,
    "pytorch_half_pixel": lambda out, axis: _half_pixel(out, axis) if axis.output > 1 else out * 0,
    "asymmetric": lambda out, axis: out / np.float32(axis.scale),
    "align_corners": lambda out, axis: out * ((axis.size - 1) / max(axis.output - 1, 1)),
}

_NEAREST: Mapping[str, Callable[[Array], Array]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


def resize(inputs: Sequence[Any], attributes: Mapping[str, Any]) -> Any:
    """The result as a Relax expression; None where TVM's import is right, or says what it cannot.

    ConversionError for `antialias`, which that ignores.
    """
    words = {name: value.decode() for name, value in attributes.items() if isinstance(value, bytes)}
    mode = words.get("mode", "nearest")
    coordinates = words.get("coordinate_transformation_mode", "half_pixel")
    rounding = words.get("nearest_mode", "round_prefer_floor")
    if attributes.get("antialias", 0):
        raise ConversionError("operator Resize: antialias")
    if len(inputs) == 2:  # as in opset 10, without regions of interest
        inputs, coordinates, rounding = (inputs[0], None, inputs[1]), "asymmetric", "floor"
    data = inputs[0]
    axes = _axes(data, inputs[2:], attributes, words.get("keep_aspect_ratio_policy", "stretch"))
    if axes is None or coordinates not in _COORDINATES or _is_tvms(axes, coordinates, attributes):
        return None
    if mode != "nearest" and str(data.ty.dtype) != "float32":
        return None
    rank = data.ty.ndim
    for number, axis in axes.items():
        position = _COORDINATES[coordinates](np.arange(axis.output, dtype=np.float32), axis)
        if mode == "nearest":
            taps: Sequence[tuple[Array, Array | None]] = [(_NEAREST[rounding](position), None)]
        elif mode == "linear":
            taps = _linear(position)
        else:
            a = float(attributes.get("cubic_coeff_a", -0.75))
            taps = _cubic(position, axis.size, a, bool(attributes.get("exclude_outside", 0)))
        data = _resampled(data, rank, number, axis.size, taps)
    return data


def _axes(
    data: Any, given: Sequence[Any], attributes: Mapping[str, Any], policy: str
) -> Mapping[int, Axis] | None:
    """Those that are resized. None where scales or sizes are not known."""
    dims = [int(dim) for dim in data.ty.shape]
    numbers = [int(axis) % len(dims) for axis in attributes.get("axes", range(len(dims)))]
    known = [value.value.numpy() for value in given if isinstance(value, tvm.ir.GenericConst)]
    known = [value for value in known if value.size == len(numbers)]
    if len(known) != 1:
        return None
    if known[0].dtype.kind == "f":
        axes = {
            n: Axis(dims[n], int(s * dims[n]), s) for n, s in zip(numbers, known[0].tolist(), strict=True)
        }
    else:
        ratios = [size / dims[n] for n, size in zip(numbers, known[0].tolist(), strict=True)]
        if policy != "stretch":
            ratios = [(min if policy == "not_larger" else max)(ratios)] * len(ratios)
        axes = {
            n: Axis(dims[n], int(np.floor(r * dims[n] + 0.5)), r)
            for n, r in zip(numbers, ratios, strict=True)
        }
    return {number: axis for number, axis in axes.items() if axis.scale != 1}


def _is_tvms(axes: Mapping[int, Axis], coordinates: str, attributes: Mapping[str, Any]) -> bool:
    """Whether what TVM's importer sees is what is meant."""
    return (
        coordinates != "half_pixel_symmetric"
        and "axes" not in attributes
        and "keep_aspect_ratio_policy" not in attributes
        and all(number >= 2 for number in axes)
        and all(abs(axis.scale * axis.size - axis.output) < 1e-4 for axis in axes.values())
    )


def _linear(position: Array) -> list[tuple[Array, Array | None]]:
    low = np.floor(position)
    upper = position - low
    return [(low, 1 - upper), (low + 1, upper)]


def _cubic(position: Array, size: int, a: float, exclude_outside: bool) -> list[tuple[Array, Array | None]]:
    """Keys' convolution (1981): what ONNX calls cubic."""
    low = np.floor(position)
    places = low + np.arange(-1, 3)[:, None]
    far = np.abs(position - places)
    near = ((a + 2) * far - (a + 3)) * far**2 + 1
    weights = np.where(far <= 1, near, ((far - 5) * far + 8) * far * a - 4 * a)
    if exclude_outside:
        weights = np.where((places >= 0) & (places < size), weights, 0)
        weights = weights / weights.sum(axis=0)
    return list(zip(places, weights, strict=True))


def _resampled(data: Any, rank: int, axis: int, size: int, taps: Sequence[tuple[Array, Array | None]]) -> Any:
    parts = []
    for places, weights in taps:
        inside = np.clip(places, 0, size - 1).astype(np.int64)
        part = relax.op.take(data, relax.const(inside), axis, mode="fast")
        if weights is not None:
            shape = [1] * rank
            shape[axis] = len(weights)
            part = relax.op.multiply(part, relax.const(weights.astype(np.float32).reshape(shape)))
        parts.append(part)
    return reduce(relax.op.add, parts)
