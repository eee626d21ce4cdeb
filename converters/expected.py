"""What an artifact for a device that is not here should compute."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.artifact.manifest import Manifest
from converters.crosscheck import check_outputs, expect, samplers_of
from converters.reference import Reference
from converters.request import ConversionRequest
from converters.tolerances import of_halves, of_rounding, tolerances


def expected(
    request: ConversionRequest,
    manifest: Manifest,
    index_limits: Mapping[str, int],
    halves: Collection[str] = (),
) -> Expectation:
    """From the ONNX reference on random input. ConversionError where no reference runs the model.

    `halves`: see `tolerances`.
    """
    reference = Reference(request.onnx, [tensor.name for tensor in manifest.outputs])
    size = manifest.batch_sizes[0]
    sampler, wanted = expect(reference, samplers_of(manifest, index_limits), size)
    batch = (size,) if manifest.max_batch_size else ()
    check_outputs(manifest, [(tensor.dtype, batch + tensor.shape) for tensor in manifest.outputs], wanted)
    inputs, who = sampler.inputs(size), reference.name
    # Its weights are not to be in memory twice.
    del reference
    allowed = [tolerances(manifest, halves)]
    if halves:
        allowed.append(of_halves(request.onnx, manifest, inputs, wanted))
    if request.target == "cuda" and request.precision != "fp32":
        allowed.append(of_rounding(request, manifest, inputs, wanted))
    return Expectation(tuple(inputs), tuple(wanted), tuple(map(max, *allowed, [0.0] * len(wanted))), who)
