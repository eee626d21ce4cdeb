"""Proves on random input that an artifact computes what its ONNX file says.

The smallest batch size is compared with the ONNX reference. A larger one that is a multiple of it is
compared with the smallest, run on the same rows piece by piece: this is as strict, many times faster than
the reference, and shows that rows do not influence each other, which batching requests relies on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from clockwork_triton.artifact.difference import difference
from clockwork_triton.artifact.manifest import Manifest
from converters.execute import LoadedArtifact
from converters.reference import Reference, ReferenceFailed
from converters.request import ConversionError
from converters.samples import Sampler
from converters.sensitivity import effect_of_halves
from converters.source import Array

# Largest difference allowed, relative to the largest magnitude in the reference's output: by the least
# precise floating type that the artifact computes with.
TOLERANCES = {"float64": 1e-4, "float32": 1e-4, "float16": 1e-2, "bfloat16": 5e-2}

# An artifact that computes in float32 what the model says in halves is off from the reference by what the
# reference is off itself; where its products are rounded to as many bits, by as much again. At most:
HALVES_MARGIN = 3.0
MOST_OF_HALVES = 0.5

# Integer inputs whose meaning is not known: each range is tried until the reference accepts the input. The
# first has no 0, by which a reference may divide; the others suit masks and indices into small tables.
INTEGER_RANGES = ((1, 10), (0, 2), (1, 2), (0, 1))


def crosscheck(
    onnx: Path,
    directory: Path,
    index_limits: Mapping[str, int] | None = None,
    halves: Collection[str] = (),
) -> str:
    """What was checked, for the record. ConversionError with the figures if the artifact is wrong.

    `index_limits`: inputs that are known to be indices, and what they must stay below. `halves`: see
    `tolerance_of`.
    """
    artifact = LoadedArtifact(directory)
    manifest = artifact.manifest
    reference = Reference(onnx, [tensor.name for tensor in manifest.outputs])
    samplers = samplers_of(manifest, index_limits or {})
    tolerance = tolerance_of(manifest, halves)
    base = manifest.batch_sizes[0]
    checked = []
    worst = 0.0
    for size in manifest.batch_sizes:
        if size == base or size % base:
            sampler, expected = expect(reference, samplers, size)
            who = reference.name
        else:
            who, expected = f"batch size {base}", _by_rows(artifact, sampler.inputs(size), base, size)
        error, output = _compare(manifest, expected, artifact.run(size, sampler.inputs(size)))
        if error > tolerance and halves and who == reference.name:
            tolerance = max(tolerance, allowed_of_halves(onnx, manifest, sampler.inputs(size), expected))
        if error > tolerance:
            raise ConversionError(_disagreement(who, size, error, tolerance, output))
        worst = max(worst, error)
        checked.append(f"{size} against {who}")
    return f"{', '.join(checked)}: largest difference {worst:.1e} of the output's scale"


def samplers_of(manifest: Manifest, index_limits: Mapping[str, int]) -> list[Sampler]:
    """Ways to make inputs, of which the reference has to accept one."""
    return [Sampler(manifest, index_limits, integers) for integers in INTEGER_RANGES]


def expect(reference: Reference, samplers: Sequence[Sampler], size: int) -> tuple[Sampler, list[Array]]:
    """The first sampler whose inputs the reference accepts, and its outputs for them."""
    reason = ""
    for sampler in samplers:
        names = [tensor.name for tensor in sampler.manifest.inputs]
        try:
            return sampler, reference.run(dict(zip(names, sampler.inputs(size), strict=True)))
        except ReferenceFailed as error:
            reason = str(error)
    raise ConversionError(f"the artifact cannot be checked, for no ONNX reference runs the model ({reason})")


def _by_rows(artifact: LoadedArtifact, inputs: Sequence[Array], base: int, size: int) -> list[Array]:
    pieces = [
        artifact.run(base, [array[begin : begin + base] for array in inputs])
        for begin in range(0, size, base)
    ]
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def tolerance_of(manifest: Manifest, halves: Collection[str] = ()) -> float:
    """The largest difference allowed of an artifact that computes in the types of its tensors. `halves`: the
    types that the reference computes in where the artifact computes in float32."""
    dtypes = {tensor.dtype for variant in manifest.variants.values() for tensor in variant.tensors}
    dtypes.update(halves)
    return max((TOLERANCES.get(dtype, 0.0) for dtype in dtypes), default=0.0) or TOLERANCES["float32"]


def allowed_of_halves(
    onnx: Path, manifest: Manifest, inputs: Sequence[Array], expected: Sequence[Array]
) -> float:
    """The difference that the reference's own roundings explain."""
    names, outputs = ([tensor.name for tensor in part] for part in (manifest.inputs, manifest.outputs))
    return min(MOST_OF_HALVES, HALVES_MARGIN * effect_of_halves(onnx, names, inputs, outputs, expected))


def _compare(manifest: Manifest, expected: Sequence[Array], actual: Sequence[Array]) -> tuple[float, str]:
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


def _disagreement(who: str, size: int, error: float, tolerance: float, output: str) -> str:
    figures = f"output '{output}' differs by {error:.1e} of its scale ({tolerance:.0e} is allowed)"
    if who.startswith("batch size"):
        return (
            f"a batch of {size} does not give what its rows give alone: {figures}. The model seems to mix "
            "the rows of a batch; set max_batch_size to 0"
        )
    return f"the compiled model disagrees with {who} at batch size {size}: {figures}"
