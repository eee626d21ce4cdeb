"""How sensitive a model is to the rounding of products' factors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from clockwork_triton.artifact.difference import difference
from converters.reference import Reference
from converters.rounding import round_tf32
from converters.source import Array, read_model


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
    with TemporaryDirectory(prefix="clockwork-rounded-") as scratch:
        rounded = Path(scratch) / "model.onnx"
        onnx.save(_rounded(read_model(path)), rounded, save_as_external_data=True, location="weights")
        reference = Reference(rounded, list(outputs))
        feeds = {
            name: round_tf32(array) if array.dtype == np.float32 else array
            for name, array in zip(names, inputs, strict=True)
        }
        moved = reference.run(feeds)
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
