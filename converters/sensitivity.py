"""How sensitive a model is to the rounding of what it computes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import helper, numpy_helper

from clockwork_triton.artifact.difference import error_of
from clockwork_triton.artifact.manifest import Manifest
from converters.halves import widened
from converters.reference import Reference, ReferenceFailed
from converters.request import ConversionError
from converters.rounding import round_tf32
from converters.source import Array, Source, read_source

# Operators that multiply, by how many of their first inputs are factors.
PRODUCTS = {
    "Conv": 2,
    "ConvTranspose": 2,
    "MatMul": 2,
    "Gemm": 2,
    "Einsum": 2,
    "LSTM": 3,
    "GRU": 3,
    "RNN": 3,
    "Attention": 3,
}
# Operators whose first input's values are their output's.
MOVES = frozenset(
    {
        "Transpose",
        "Reshape",
        "Cast",
        "Identity",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "Slice",
        "Split",
        "Expand",
    }
)


def effect_of_rounding(
    path: Path, manifest: Manifest, inputs: Sequence[Array], expected: Sequence[Array]
) -> list[float] | None:
    """How far each of the reference's outputs moves, as `error_of` has it, when those factors of products
    that it is given, or holds, are rounded to ten bits of fraction: how sensitive it is, of which every
    product takes its part. None where that cannot be told."""
    source = read_source(path)
    factors = _factors(source.graph)
    graph = onnx.GraphProto()
    graph.CopyFrom(source.graph)
    for node in graph.node:
        if node.op_type == "Constant" and node.output[0] in factors:
            for attribute in node.attribute:
                if attribute.HasField("t"):
                    attribute.t.CopyFrom(
                        numpy_helper.from_array(_rounded(numpy_helper.to_array(attribute.t)))
                    )
    weights = {name: _rounded(array) if name in factors else array for name, array in source.weights.items()}
    feeds = {
        tensor.name: _rounded(array) if tensor.name in factors else array
        for tensor, array in zip(manifest.inputs, inputs, strict=True)
    }
    return _moved(replace(source, graph=graph, weights=weights), feeds, manifest, expected)


def effect_of_halves(
    path: Path, manifest: Manifest, inputs: Sequence[Array], expected: Sequence[Array]
) -> list[float] | None:
    """How far each of the reference's outputs moves, as `error_of` has it, when it computes in float32 what
    the model says in halves: what it is off itself. None where that cannot be told."""
    source, _ = widened(read_source(path))
    feeds = {tensor.name: array for tensor, array in zip(manifest.inputs, inputs, strict=True)}
    return _moved(source, feeds, manifest, expected)


def _rounded(array: Array) -> Array:
    return round_tf32(array) if array.dtype == np.float32 else array


def _factors(graph: onnx.GraphProto) -> set[str]:
    """The values that products multiply, and those that become them as they are."""
    found: set[str] = set()
    for node in reversed(graph.node):
        found.update(node.input[: PRODUCTS.get(node.op_type, 0)])
        if found.intersection(node.output):
            if node.op_type in MOVES:
                found.add(node.input[0])
            elif node.op_type == "Concat":
                found.update(node.input)
    return found


def _moved(
    source: Source, feeds: Mapping[str, Array], manifest: Manifest, expected: Sequence[Array]
) -> list[float] | None:
    with TemporaryDirectory(prefix="clockwork-changed-") as scratch:
        changed = Path(scratch) / "model.onnx"
        try:
            onnx.save(_whole(source), changed, save_as_external_data=True, location="weights")
            moved = Reference(changed, [tensor.name for tensor in manifest.outputs]).run(feeds)
        except ReferenceFailed:
            return None
        except OSError as error:
            raise ConversionError(f"the artifact cannot be checked: {error}") from error
    if any(want.shape != have.shape for want, have in zip(expected, moved, strict=True)):
        return None
    return [error_of(want, have) for want, have in zip(expected, moved, strict=True)]


def _whole(source: Source) -> onnx.ModelProto:
    graph = onnx.GraphProto()
    graph.CopyFrom(source.graph)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in source.weights.items())
    opsets = [helper.make_opsetid(domain, version) for domain, version in source.opsets.items()]
    return helper.make_model(graph, opset_imports=opsets, ir_version=source.ir_version)
