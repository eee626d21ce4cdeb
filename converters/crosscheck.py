"""Proves on random input that an artifact computes what its ONNX file says.

The smallest batch size is compared with the ONNX reference. A larger one that is a multiple of it is
compared with the smallest, run on the same rows piece by piece: this is as strict, many times faster than
the reference, and shows that rows do not influence each other, which batching requests relies on.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from clockwork_triton.artifact.difference import error_of, told
from clockwork_triton.artifact.manifest import Manifest
from converters.execute import LoadedArtifact
from converters.reference import Reference, ReferenceFailed
from converters.request import ConversionError
from converters.samples import Sampler
from converters.source import Array
from converters.tolerances import of_halves, tolerances

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
    `tolerances`.
    """
    artifact = LoadedArtifact(directory)
    manifest = artifact.manifest
    reference = Reference(onnx, [tensor.name for tensor in manifest.outputs])
    samplers = samplers_of(manifest, index_limits or {})
    allowed = tolerances(manifest, halves)
    base = manifest.batch_sizes[0]
    checked = []
    worst = 0.0
    for size in manifest.batch_sizes:
        if size == base or size % base:
            sampler, expected = expect(reference, samplers, size)
            who = reference.name
        else:
            who, expected = f"batch size {base}", _by_rows(artifact, sampler.inputs(size), base, size)
        errors = _compare(manifest, expected, artifact.run(size, sampler.inputs(size)))
        if halves and who == reference.name and _first_over(errors, allowed) is not None:
            allowed = list(map(max, allowed, of_halves(onnx, manifest, sampler.inputs(size), expected)))
        over = _first_over(errors, allowed)
        if over is not None:
            tensor = manifest.outputs[over]
            figures = (
                f"output '{tensor.name}' {told(errors[over], tensor.dtype)} ({allowed[over]:.0e} is allowed)"
            )
            raise ConversionError(_disagreement(who, size, figures))
        worst = max([worst, *errors])
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


def _compare(manifest: Manifest, expected: Sequence[Array], actual: Sequence[Array]) -> list[float]:
    """The error of each output."""
    check_outputs(manifest, [(str(array.dtype), array.shape) for array in actual], expected)
    return [error_of(want, have) for want, have in zip(expected, actual, strict=True)]


def check_outputs(
    manifest: Manifest, made: Sequence[tuple[str, tuple[int, ...]]], expected: Sequence[Array]
) -> None:
    """ConversionError unless outputs of these types and shapes are what the reference gives."""
    for tensor, (dtype, shape), want in zip(manifest.outputs, made, expected, strict=True):
        if (dtype, shape) != (str(want.dtype), want.shape):
            raise ConversionError(
                f"output '{tensor.name}' is {dtype} {list(shape)}, "
                f"but the ONNX reference gives {want.dtype} {list(want.shape)}"
            )


def _first_over(errors: Sequence[float], allowed: Sequence[float]) -> int | None:
    pairs = zip(errors, allowed, strict=True)
    return next((number for number, (error, most) in enumerate(pairs) if error > most), None)


def _disagreement(who: str, size: int, figures: str) -> str:
    if who.startswith("batch size"):
        return (
            f"a batch of {size} does not give what its rows give alone: {figures}. The model seems to mix "
            "the rows of a batch; set max_batch_size to 0"
        )
    return f"the compiled model disagrees with {who} at batch size {size}: {figures}"
