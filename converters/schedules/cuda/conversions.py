"""Halves to floats and back: casts that are part of the kernels around them, instead of kernels of TVM's.

Halves are only moved and converted; nothing computes with them. The functions are in device/halves.cuh.
"""

from __future__ import annotations

from converters.schedules.network import ops
from converters.schedules.network.graph import Network, Node

WIDEN = {"float16": "widen_float16", "bfloat16": "widen_bfloat16"}
NARROW = {"float16": "narrow_float16", "bfloat16": "narrow_bfloat16"}

RESULTS = {**dict.fromkeys(WIDEN.values(), "float"), **dict.fromkeys(NARROW.values(), "unsigned short")}
"""By the name of a pointwise operation, which is that of its function: the type of what it makes."""


def with_conversions(network: Network) -> Network:
    """The casts between float32 and halves as pointwise operations, which fuse with others."""
    return Network(list(map(_converted, network.nodes)), network.inputs, network.outputs)


def _converted(node: Node) -> Node:
    if not isinstance(node.op, ops.Foreign) or node.op.call.op.name != "relax.astype":
        return node
    (data,) = node.inputs
    name = None
    if node.output.dtype == "float32":
        name = WIDEN.get(data.dtype)
    elif data.dtype == "float32":
        name = NARROW.get(node.output.dtype)
    if name is None or not data.size:
        return node
    return Node(ops.Pointwise(name), node.inputs, node.outputs)
