"""Arithmetic with constants is done now, or goes into weights."""

from __future__ import annotations

import numpy as np

from converters.schedules.network import ops
from converters.schedules.network.graph import Array, Tensor
from converters.schedules.network.simplify import Simplifier, channel_values


def all_known(to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor) -> Tensor | None:
    if any(tensor.data is None for tensor in inputs):
        return None
    return to.pointwise(op.name, *inputs, parameters=op.parameters)


def normal_order(
    to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """Of additions and multiplications with a constant, the constant comes second; others become these."""
    if len(inputs) != 2 or like.size == 1:
        return None
    left, right = inputs
    if op.name in ("add", "multiply") and left.data is not None and right.data is None:
        return to.again(op, (right, left), like)
    if op.name == "subtract" and right.data is not None:
        return to.again(ops.Pointwise("add"), (left, to.pointwise("negative", right)), like)
    if op.name == "divide" and right.data is not None and np.all(np.abs(right.data) > 1e-30):
        return to.again(ops.Pointwise("multiply"), (left, to.pointwise("divide", 1.0, right)), like)
    return None


def neutral(to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor) -> Tensor | None:
    """Adding 0, multiplying by 1."""
    nothing = {"add": 0.0, "multiply": 1.0}.get(op.name)
    if nothing is None or inputs[1].data is None or inputs[0].shape != like.shape:
        return None
    return inputs[0] if np.all(inputs[1].data == nothing) else None


def into_convolution(
    to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """A factor or summand per channel after a convolution goes into its weight and bias."""
    node = to.made_by(inputs[0], ops.Convolve, once=True)
    if node is None or op.name not in ("add", "multiply") or inputs[0].shape != like.shape:
        return None
    data, weight, *rest = node.inputs
    values = channel_values(inputs[1], like.rank, 1, like.shape[1])
    assert weight.data is not None
    if values is None:
        return None
    bias = rest[0].data if rest else np.zeros(like.shape[1], np.float32)
    assert bias is not None
    kernel: Array = weight.data
    if op.name == "add":
        bias = bias + values
    else:
        bias = bias * values
        kernel = kernel * values.reshape(-1, *[1] * (weight.rank - 1))
    return to.emit(node.op, [data, Tensor.constant(kernel), Tensor.constant(bias)], like.shape)


def into_matmul(to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor) -> Tensor | None:
    """A factor for each column of a product with a constant goes into the constant."""
    node = to.made_by(inputs[0], ops.Matmul, once=True)
    if node is None or op.name != "multiply" or inputs[0].shape != like.shape:
        return None
    left, right = node.inputs
    if right.data is None or node.op.output is not None or node.op.right is not None:
        return None
    values = channel_values(inputs[1], like.rank, like.rank - 1, like.shape[-1])
    if values is None:
        return None
    return to.emit(node.op, [left, Tensor.constant(right.data * values)], like.shape)


def merge_affine(
    to: Simplifier, op: ops.Pointwise, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """Chains of additions and multiplications with constants become one multiplication and one addition."""
    node = to.made_by(inputs[0], ops.Pointwise, once=True)
    if node is None or op.name not in ("add", "multiply") or inputs[1].data is None:
        return None
    if node.op.name not in ("add", "multiply") or node.inputs[1].data is None:
        return None
    data, constant = node.inputs
    if data.shape != like.shape or inputs[0].shape != like.shape:
        return None
    if node.op.name == op.name:
        return to.again(op, (data, to.pointwise(op.name, constant, inputs[1])), like)
    if op.name == "multiply":
        scaled = to.again(op, (data, inputs[1]), like)
        return to.again(node.op, (scaled, to.pointwise("multiply", constant, inputs[1])), like)
    return None
