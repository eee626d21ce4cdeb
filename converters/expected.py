"""What an artifact for a device that is not here should compute."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.artifact.manifest import Manifest
from converters.crosscheck import allowed_of_halves, expect, samplers_of, tolerance_of
from converters.reference import Reference
from converters.request import ConversionRequest
from converters.sensitivity import effect_of_rounding

# Where products are rounded, the outputs may move by so many times what rounding weights and inputs alone
# does to them, since results in between are rounded too; at least, and at most, by this.
MARGIN = 8.0
LEAST_ROUNDED = 2e-3
MOST_ROUNDED = 0.5


def expected(
    request: ConversionRequest,
    manifest: Manifest,
    index_limits: Mapping[str, int],
    halves: Collection[str] = (),
) -> Expectation:
    """From the ONNX reference on random input. ConversionError where no reference runs the model.

    `halves`: see `crosscheck.tolerance_of`.
    """
    outputs = [tensor.name for tensor in manifest.outputs]
    reference = Reference(request.onnx, outputs)
    size = manifest.batch_sizes[0]
    sampler, wanted = expect(reference, samplers_of(manifest, index_limits), size)
    inputs = sampler.inputs(size)
    tolerance = tolerance_of(manifest, halves)
    if halves:
        tolerance = max(tolerance, allowed_of_halves(request.onnx, manifest, inputs, wanted))
    if request.target == "cuda" and request.precision != "fp32":
        names = [tensor.name for tensor in manifest.inputs]
        effect = effect_of_rounding(request.onnx, names, inputs, outputs, wanted)
        tolerance = max(tolerance, LEAST_ROUNDED, min(MOST_ROUNDED, MARGIN * effect))
    return Expectation(tuple(inputs), tuple(wanted), tolerance, reference.name)
