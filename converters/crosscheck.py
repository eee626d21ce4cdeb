"""Proves on random input that an artifact computes what its ONNX file says.

The smallest batch size is compared with the ONNX reference. A larger one that is a multiple of it is
compared with the smallest, run on the same rows piece by piece: this is as strict, many times faster than
the reference, and shows that rows do not influence each other, which batching requests relies on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clockwork_triton.artifact.manifest import Manifest
from converters.execute import LoadedArtifact, numpy_dtype
from converters.reference import Reference, ReferenceFailed
from converters.request import ConversionError
from converters.source import Array

# Largest difference allowed, relative to the largest magnitude in the reference's output: by the least
# precise floating type that the artifact computes with.
TOLERANCES = {"float64": 1e-4, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}

# Integer inputs may be indices, whose valid range no file tells: each limit is tried until the reference
# accepts the input.
INTEGER_LIMITS = (10, 2, 1)


def crosscheck(onnx: Path, directory: Path) -> str:
    """What was checked, for the record. ConversionError with the figures if the artifact is wrong."""
    artifact = LoadedArtifact(directory)
    manifest = artifact.manifest
    reference = Reference(onnx, [tensor.name for tensor in manifest.outputs])
    tolerance = _tolerance(manifest)
    base = manifest.batch_sizes[0]
    checked = []
    worst = 0.0
    limit = INTEGER_LIMITS[0]
    for size in manifest.batch_sizes:
        if size == base or size % base:
            who, inputs, expected, limit = _expect(reference, manifest, size)
        else:
            who, inputs = f"batch size {base}", random_inputs(manifest, size, limit)
            expected = _by_rows(artifact, inputs, base, size)
        error, output = _compare(manifest, expected, artifact.run(size, inputs), tolerance)
        if error > tolerance:
            raise ConversionError(_disagreement(who, size, error, tolerance, output))
        worst = max(worst, error)
        checked.append(f"{size} against {who}")
    return f"{', '.join(checked)}: largest difference {worst:.1e} of the output's scale"


def random_inputs(manifest: Manifest, batch_size: int, limit: int, seed: int = 0) -> list[Array]:
    """Normal floats, integers in [0, limit), fair booleans; the same for the same arguments."""
    rng = np.random.default_rng(seed)
    inputs: list[Array] = []
    for tensor in manifest.inputs:
        shape = (batch_size, *tensor.shape) if manifest.max_batch_size else tensor.shape
        dtype = numpy_dtype(tensor.dtype)
        if tensor.dtype == "bool":
            inputs.append(rng.random(shape) < 0.5)
        elif dtype.kind in "iu":
            inputs.append(rng.integers(0, limit, shape).astype(dtype))
        else:
            inputs.append(rng.standard_normal(shape).astype(dtype))
    return inputs


def _expect(reference: Reference, manifest: Manifest, size: int) -> tuple[str, list[Array], list[Array], int]:
    """The reference's name, inputs that it accepts, its outputs, and the limit of those inputs' integers."""
    reason = ""
    for limit in INTEGER_LIMITS:
        inputs = random_inputs(manifest, size, limit)
        feeds = {tensor.name: array for tensor, array in zip(manifest.inputs, inputs, strict=True)}
        try:
            who, expected = reference.run(feeds)
            return who, inputs, expected, limit
        except ReferenceFailed as error:
            reason = str(error)
    raise ConversionError(f"the artifact cannot be checked, for no ONNX reference runs the model ({reason})")


def _by_rows(artifact: LoadedArtifact, inputs: Sequence[Array], base: int, size: int) -> list[Array]:
    pieces = [
        artifact.run(base, [array[begin : begin + base] for array in inputs])
        for begin in range(0, size, base)
    ]
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def _tolerance(manifest: Manifest) -> float:
    dtypes = {tensor.dtype for variant in manifest.variants.values() for tensor in variant.tensors}
    return max((TOLERANCES.get(dtype, 0.0) for dtype in dtypes), default=0.0) or TOLERANCES["float32"]


def _compare(
    manifest: Manifest, expected: Sequence[Array], actual: Sequence[Array], tolerance: float
) -> tuple[float, str]:
    """The largest difference and the output that has it."""
    worst, where = 0.0, ""
    for tensor, want, have in zip(manifest.outputs, expected, actual, strict=True):
        if want.shape != have.shape or want.dtype != have.dtype:
            raise ConversionError(
                f"output '{tensor.name}' is {have.dtype} {list(have.shape)}, "
                f"but the ONNX reference gives {want.dtype} {list(want.shape)}"
            )
        error = difference(want, have)
        if error > worst or not where:
            worst, where = error, tensor.name
    return worst, where


def difference(expected: Array, actual: Array) -> float:
    """The largest absolute difference over the largest finite magnitude expected; infinite where one is
    finite and the other is not, or integers differ.

    Eight-bit integers may differ by one step: they are mostly quantized values, which round either way.
    """
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind in "iub":
        slack = 1 if expected.dtype.itemsize == 1 and expected.dtype.kind != "b" else 0
        off = np.abs(expected.astype(np.int64) - actual.astype(np.int64)).max()
        return 0.0 if off <= slack else float("inf")
    want, have = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(want)
    if (
        not np.array_equal(want[~finite], have[~finite], equal_nan=True)
        or not np.isfinite(have[finite]).all()
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(want[finite]).max()) or 1.0
    return float(np.abs(want[finite] - have[finite]).max()) / scale


def _disagreement(who: str, size: int, error: float, tolerance: float, output: str) -> str:
    figures = f"output '{output}' differs by {error:.1e} of its scale ({tolerance:.0e} is allowed)"
    if who.startswith("batch size"):
        return (
            f"a batch of {size} does not give what its rows give alone: {figures}. The model seems to mix "
            "the rows of a batch; set max_batch_size to 0"
        )
    return f"the compiled model disagrees with {who} at batch size {size}: {figures}"
