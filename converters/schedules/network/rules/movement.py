"""Movements of elements cancel each other, or become part of what reads them."""

from __future__ import annotations

from functools import reduce as fold

import numpy as np

from converters.schedules.network import ops
from converters.schedules.network.graph import Tensor
from converters.schedules.network.simplify import Simplifier

COMBINE = {"sum": "add", "max": "maximum", "min": "minimum", "prod": "multiply"}


def reshape_of_reshape(
    to: Simplifier, op: ops.Reshape, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    node = to.made_by(inputs[0], ops.Reshape)
    source = inputs[0] if node is None else node.inputs[0]
    if node is None and source.data is None and source.shape != like.shape:
        return None
    return to.reshape(source, like.shape)


def transpose_of_transpose(
    to: Simplifier, op: ops.Transpose, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    node = to.made_by(inputs[0], ops.Transpose)
    if node is None:
        return None
    return to.transpose(node.inputs[0], [node.op.axes[axis] for axis in op.axes])


def transpose_of_matmul(
    to: Simplifier, op: ops.Transpose, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """The product is stored in the order wanted, as long as its rows stay rows."""
    node = to.made_by(inputs[0], ops.Matmul, once=True)
    if node is None or node.op.output is not None or op.axes[-1] != len(op.axes) - 1:
        return None
    return to.emit(ops.Matmul(node.op.left, node.op.right, op.axes), node.inputs, like.shape)


def matmul_of_transpose(
    to: Simplifier, op: ops.Matmul, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """An operand is read in the order in which it is stored."""
    left, right = (to.made_by(tensor, ops.Transpose) for tensor in inputs)
    if (left is None or op.left is not None) and (right is None or op.right is not None):
        return None
    operands, axes = list(inputs), [op.left, op.right]
    for side, node in enumerate((left, right)):
        if node is not None and axes[side] is None:
            operands[side], axes[side] = node.inputs[0], node.op.axes
    return to.emit(ops.Matmul(axes[0], axes[1], op.output), operands, like.shape)


def without_broadcast(
    to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """Repeated inputs are not repeated where the operation does so itself."""
    sources = []
    for tensor in inputs:
        node = to.made_by(tensor, ops.Broadcast)
        sources.append(tensor if node is None else node.inputs[0])
    if tuple(sources) == inputs or np.broadcast_shapes(*(x.shape for x in sources)) != like.shape:
        return None
    return to.again(op, sources, like)


def pointwise_before_reshape(
    to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """Of inputs that are all reshaped from one shape: computed in that shape, then reshaped."""
    nodes = [to.made_by(x, ops.Reshape) if x.shape == like.shape else None for x in inputs]
    sources = []
    for tensor, node in zip(inputs, nodes, strict=True):
        if node is None and tensor.scalar is None:
            return None
        sources.append(tensor if node is None else node.inputs[0])
    shapes = {node.inputs[0].shape for node in nodes if node is not None}
    if len(shapes) != 1:
        return None
    sources = [x if x.size > 1 else to.reshape(x, (1,) * len(next(iter(shapes)))) for x in sources]
    (shape,) = shapes
    return to.reshape(to.again(op, sources, Tensor(shape)), like.shape)


def reduce_of_stack(
    to: Simplifier, op: ops.Reduce, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """A reduction over parts of extent 1 combines the parts."""
    node = to.made_by(inputs[0], ops.Concat, once=True)
    if node is None or op.axes != (node.op.axis,) or any(x.shape != like.shape for x in node.inputs):
        return None
    name = COMBINE[op.kind]
    return fold(lambda a, b: to.again(ops.Pointwise(name), (a, b), like), node.inputs)
