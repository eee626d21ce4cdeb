"""How sensitive a model is to the rounding of what it computes with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from clockwork_triton.artifact.difference import difference
from converters.halves import widened
from converters.reference import Reference
from converters.rounding import round_tf32
from converters.source import Array, read_model, read_source


def effect_of_rounding(
    path: Path,
    names: Sequence[str],
    inputs: Sequence[Array],
    outputs: Sequence[str],
    expected: Sequence[Array],
) -> float:
    """How far the reference's outputs move, as `difference` has it, when what the model is given and its
    weights are rounded to ten bits of fraction: how sensitive it is, of which every product takes its part.
    """
    feeds = {
        name: round_tf32(array) if array.dtype == np.float32 else array
        for name, array in zip(names, inputs, strict=True)
    }
    return _moved(_rounded(read_model(path)), feeds, outputs, expected)


def effect_of_halves(
    path: Path,
    names: Sequence[str],
    inputs: Sequence[Array],
    outputs: Sequence[str],
    expected: Sequence[Array],
) -> float:
    """How far the reference's outputs move, as `difference` has it, when it computes in float32 what the
    model says in halves: what it is off itself."""
    source, _ = widened(read_source(path))
    graph = onnx.GraphProto()
    graph.CopyFrom(source.graph)
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in source.weights.items())
    opsets = [helper.make_opsetid(domain, version) for domain, version in source.opsets.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=source.ir_version)
    return _moved(model, dict(zip(names, inputs, strict=True)), outputs, expected)


def _moved(
    model: onnx.ModelProto, feeds: Mapping[str, Array], outputs: Sequence[str], expected: Sequence[Array]
) -> float:
    with TemporaryDirectory(prefix="clockwork-changed-") as scratch:
        changed = Path(scratch) / "model.onnx"
        onnx.save(model, changed, save_as_external_data=True, location="weights")
        moved = Reference(changed, list(outputs)).run(feeds)
    return max((difference(want, have) for want, have in zip(expected, moved, strict=True)), default=0.0)


def _rounded(model: onnx.ModelProto) -> onnx.ModelProto:
    constants = [
        attribute.t
        for node in model.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.HasField("t")
    ]
    for tensor in [*model.graph.initializer, *constants]:
        if tensor.data_type == TensorProto.FLOAT and tensor.dims:
            values = round_tf32(numpy_helper.to_array(tensor))
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return model
