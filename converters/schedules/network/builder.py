"""Adds operations to a list of nodes, with the shapes they give, unless the result is a constant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.schedules.network import arithmetic, ops
from converters.schedules.network.graph import Node, Shape, Tensor


@dataclass
class Builder:
    nodes: list[Node] = field(default_factory=list)

    def emit(self, op: Any, inputs: Sequence[Tensor], shape: Shape, dtype: str = "float32") -> Tensor:
        """The only output of a new node."""
        result = Tensor(tuple(shape), dtype)
        self.nodes.append(Node(op, tuple(inputs), (result,)))
        return result

    def scalar(self, value: float) -> Tensor:
        return Tensor.constant(np.asarray(value, np.float32))

    def pointwise(self, name: str, *inputs: Tensor | float, parameters: tuple[float, ...] = ()) -> Tensor:
        tensors = [x if isinstance(x, Tensor) else self.scalar(x) for x in inputs]
        assert all(tensor.dtype == "float32" for tensor in tensors)
        known = [tensor.data for tensor in tensors if tensor.data is not None]
        if len(known) == len(tensors):
            return Tensor.constant(arithmetic.evaluate(name, parameters, known))
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        return self.emit(ops.Pointwise(name, parameters), tensors, shape)

    def reduce(self, kind: str, data: Tensor, axes: Sequence[int]) -> Tensor:
        """Over `axes`, kept with extent 1."""
        axes = tuple(sorted(axis % data.rank for axis in axes))
        if all(data.shape[axis] == 1 for axis in axes):
            return data
        if data.data is not None:
            value = arithmetic.REDUCTIONS[kind](data.data, axis=axes, keepdims=True)
            return Tensor.constant(np.asarray(value, data.data.dtype))
        shape = tuple(1 if axis in axes else dim for axis, dim in enumerate(data.shape))
        return self.emit(ops.Reduce(kind, axes), [data], shape, data.dtype)

    def mean(self, data: Tensor, axes: Sequence[int]) -> Tensor:
        total = self.reduce("sum", data, axes)
        return self.pointwise("multiply", total, total.size / data.size)

    def reshape(self, data: Tensor, shape: Shape) -> Tensor:
        if data.shape == tuple(shape):
            return data
        if data.data is not None:
            return Tensor.constant(data.data.reshape(shape))
        return self.emit(ops.Reshape(), [data], shape, data.dtype)

    def transpose(self, data: Tensor, axes: Sequence[int]) -> Tensor:
        axes = tuple(axis % data.rank for axis in axes)
        if data.data is not None:
            return Tensor.constant(data.data.transpose(axes))
        shape = tuple(data.shape[axis] for axis in axes)
        moved = [axis for axis in axes if data.shape[axis] != 1]
        if moved == sorted(moved):
            return self.reshape(data, shape)
        return self.emit(ops.Transpose(axes), [data], shape, data.dtype)

    def broadcast(self, data: Tensor, shape: Shape) -> Tensor:
        if data.shape == tuple(shape):
            return data
        if data.data is not None:
            return Tensor.constant(np.broadcast_to(data.data, shape))
        return self.emit(ops.Broadcast(), [data], shape, data.dtype)

    def concat(self, parts: Sequence[Tensor], axis: int) -> Tensor:
        first = parts[0]
        axis %= first.rank
        parts = [part for part in parts if part.size] or [first]
        if len(parts) == 1:
            return parts[0]
        known = [part.data for part in parts if part.data is not None]
        if len(known) == len(parts):
            return Tensor.constant(np.concatenate(known, axis))
        extent = sum(part.shape[axis] for part in parts)
        shape = (*first.shape[:axis], extent, *first.shape[axis + 1 :])
        return self.emit(ops.Concat(axis), parts, shape, first.dtype)

    def slice(self, data: Tensor, begins: Sequence[int], strides: Sequence[int], shape: Shape) -> Tensor:
        """`shape` elements, every `strides`-th from `begins` on; strides are positive."""
        if data.shape == tuple(shape):
            return data
        if data.data is not None:
            cut = zip(begins, strides, shape, strict=True)
            return Tensor.constant(data.data[tuple(slice(b, b + s * n, s) for b, s, n in cut)])
        return self.emit(ops.Slice(tuple(begins), tuple(strides)), [data], shape, data.dtype)
