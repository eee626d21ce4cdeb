"""How far from the reference an artifact's outputs may be, each by itself, as `error_of` has it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

from clockwork_triton.artifact.difference import counts
from clockwork_triton.artifact.manifest import Manifest
from converters.request import ConversionRequest
from converters.sensitivity import effect_of_halves, effect_of_rounding
from converters.source import Array

# By the least precise floating type that is computed with. Integers must be equal.
TOLERANCES = {"float64": 1e-4, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}

# An artifact that computes in float32 what the model says in halves is off from the reference by what the
# reference is off itself; where its products are rounded to as many bits, by as much again.
HALVES_MARGIN = 3.0
# Where products are rounded, outputs may move by so many times what rounding their factors alone does to
# them, since results in between are rounded too.
ROUNDING_MARGIN = 8.0
LEAST_ROUNDED = 2e-3
# Of the elements of an index, or of what a comparison gives.
LEAST_SHARE = 0.01
# Where the effect of rounding cannot be told.
UNTOLD = 0.05
# An output that may be further off than this shows nothing.
MOST = 0.5


def tolerances(manifest: Manifest, halves: Collection[str] = ()) -> list[float]:
    """Of an artifact that computes in the types of its tensors. `halves`: the types that the reference
    computes in where the artifact computes in float32."""
    dtypes = {tensor.dtype for variant in manifest.variants.values() for tensor in variant.tensors}
    dtypes.update(halves)
    floats = max((TOLERANCES.get(dtype, 0.0) for dtype in dtypes), default=0.0) or TOLERANCES["float32"]
    return [0.0 if counts(tensor.dtype) else floats for tensor in manifest.outputs]


def of_halves(
    onnx: Path, manifest: Manifest, inputs: Sequence[Array], expected: Sequence[Array]
) -> list[float]:
    """What the reference's own roundings explain."""
    effects = effect_of_halves(onnx, manifest, inputs, expected)
    return [min(MOST, HALVES_MARGIN * effect) for effect in effects or [0.0] * len(expected)]


def of_rounding(
    request: ConversionRequest, manifest: Manifest, inputs: Sequence[Array], expected: Sequence[Array]
) -> list[float]:
    """What an artifact whose products' factors are rounded may be off."""
    effects = effect_of_rounding(request.onnx, manifest, inputs, expected)
    if effects is None:
        return [UNTOLD] * len(expected)
    least = [LEAST_SHARE if counts(tensor.dtype) else LEAST_ROUNDED for tensor in manifest.outputs]
    return [max(low, min(MOST, ROUNDING_MARGIN * effect)) for low, effect in zip(least, effects, strict=True)]
