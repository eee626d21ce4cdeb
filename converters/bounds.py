"""Keeps indices that clients send inside the tensors they point into.

A compiled kernel reads and writes where an index says. ONNX Runtime refuses an index out of range when it
meets one; here every index that is not a constant is clamped to the nearest valid one, so that no request
can reach memory that is not the tensor's.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from converters.source import Array

_ALONG_AXIS = {"Gather", "GatherElements", "Scatter", "ScatterElements"}
_COORDINATES = {"GatherND", "ScatterND"}
# Every element of their output is one of their first input.
_PASSING = {"Cast", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}

Types = Mapping[str, onnx.TypeProto]


def with_bounded_indices(
    nodes: Sequence[onnx.NodeProto], types: Types, constants: dict[str, Array]
) -> list[onnx.NodeProto]:
    """`types` of the values known; `constants` gains the bounds."""
    result = []
    for node in nodes:
        limits = _limits(node, types)
        if limits is not None and node.input[1] not in constants:
            dtype = helper.tensor_dtype_to_np_dtype(types[node.input[1]].tensor_type.elem_type)
            low, high, raised, bounded = (
                f"{node.output[0]}::{role}" for role in ("low", "high", "raised", "index")
            )
            constants[low] = np.asarray(-limits, dtype)
            constants[high] = np.asarray(limits - 1, dtype)
            result.append(helper.make_node("Max", [node.input[1], low], [raised]))
            result.append(helper.make_node("Min", [raised, high], [bounded]))
            node.input[1] = bounded
        result.append(node)
    return result


def index_limits(nodes: Sequence[onnx.NodeProto], types: Types, inputs: Collection[str]) -> dict[str, int]:
    """What the values of those inputs that are used as indices must stay below."""
    source = {node.output[0]: node.input[0] for node in nodes if node.op_type in _PASSING and node.output}
    found: dict[str, int] = {}
    for node in nodes:
        limits = _limits(node, types)
        if limits is None:
            continue
        name = node.input[1]
        while name in source:
            name = source[name]
        if name in inputs:
            found[name] = min(int(limits.min()), found.get(name, int(limits.min())))
    return found


def _limits(node: onnx.NodeProto, types: Types) -> npt.NDArray[np.int64] | None:
    """The sizes that the node's indices must stay below: one, or one for each coordinate."""
    if node.op_type not in _ALONG_AXIS | _COORDINATES or node.domain:
        return None
    data, indices = (_shape(types, name) for name in node.input[:2])
    attributes = {attribute.name: attribute.i for attribute in node.attribute}
    if data is None or indices is None:
        return None
    if node.op_type in _ALONG_AXIS:
        return np.asarray(data[attributes.get("axis", 0)], np.int64)
    begin = attributes.get("batch_dims", 0)
    return np.asarray(data[begin : begin + indices[-1]], np.int64)


def _shape(types: Types, name: str) -> tuple[int, ...] | None:
    if name not in types or not types[name].tensor_type.HasField("shape"):
        return None
    dims = types[name].tensor_type.shape.dim
    return tuple(dim.dim_value for dim in dims) if all(dim.dim_value > 0 for dim in dims) else None
