"""Operators on whole images: their resizing."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters.schedules.network import ops
from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Array, Tensor
from converters.schedules.network.operators.arguments import Arguments, Translation


def _half_pixel(out: Array, size: int, output: int) -> Array:
    return (out + 0.5) * (size / output) - 0.5


# From positions in the output to positions in the input, in the words of ONNX's Resize.
COORDINATES: dict[str, Callable[[Array, int, int], Array]] = {
    "half_pixel": _half_pixel,
    "pytorch_half_pixel": lambda out, size, output: _half_pixel(out, size, output) if output > 1 else out * 0,
    "asymmetric": lambda out, size, output: out * (size / output),
    "align_corners": lambda out, size, output: out * ((size - 1) / max(output - 1, 1)),
}

NEAREST: dict[str, Callable[[Array], Array]] = {
    "round": lambda x: np.ceil(x - 0.5),
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}

# Positions that are whole up to rounding errors are meant to be whole.
TINY = 1e-5


def _axis(
    size: int, output: int, method: str, coordinates: str, rounding: str
) -> tuple[Array, Array | None] | None:
    """Places [taps, output] and weights of one axis."""
    if coordinates not in COORDINATES:
        return None
    position = COORDINATES[coordinates](np.arange(output, dtype=np.float64), size, output)
    whole = np.round(position)
    position = np.where(np.abs(position - whole) < TINY, whole, position)
    if method == "nearest_neighbor":
        if rounding not in NEAREST:
            return None
        return np.clip(NEAREST[rounding](position), 0, size - 1).astype(np.int32)[None], None
    low = np.floor(position)
    places = np.clip(np.stack([low, low + 1]), 0, size - 1).astype(np.int32)
    upper = position - low
    return places, np.stack([1 - upper, upper]).astype(np.float32)


def _resize(builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    attrs = call.attrs
    method = str(attrs.method)
    if not call.is_float() or str(attrs.layout) != "NCHW" or method not in ("nearest_neighbor", "linear"):
        return None
    inputs = [data]
    for size, output in zip(data.shape[2:], call.output.shape[2:], strict=True):
        found = _axis(
            size, output, method, str(attrs.coordinate_transformation_mode), str(attrs.rounding_method)
        )
        if found is None:
            return None
        places, weights = found
        inputs.append(Tensor.constant(places))
        inputs.append(Tensor.constant(np.ones(places.shape, np.float32) if weights is None else weights))
    return builder.emit(ops.Resample(), inputs, call.output.shape)


TRANSLATIONS: dict[str, Translation] = {"image.resize2d": _resize}
