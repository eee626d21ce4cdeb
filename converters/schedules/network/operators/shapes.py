"""Operators that move elements and compute none."""

from __future__ import annotations

import numpy as np

from converters.schedules.network import ops
from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Tensor
from converters.schedules.network.operators.arguments import Arguments, Translation


def _reshape(builder: Builder, call: Arguments) -> Tensor:
    return builder.reshape(call.inputs[0], call.output.shape)


def _transpose(builder: Builder, call: Arguments) -> Tensor:
    (data,) = call.inputs
    return builder.transpose(data, call.ints("axes") or tuple(reversed(range(data.rank))))


def _broadcast(builder: Builder, call: Arguments) -> Tensor:
    return builder.broadcast(call.inputs[0], call.output.shape)


def _concat(builder: Builder, call: Arguments) -> Tensor:
    axis = call.attrs.axis
    inputs = call.inputs if axis is not None else tuple(builder.reshape(x, (x.size,)) for x in call.inputs)
    return builder.concat(inputs, int(axis or 0))


def _stack(builder: Builder, call: Arguments) -> Tensor:
    axis = int(call.attrs.axis) % call.output.rank
    shape = (*call.output.shape[:axis], 1, *call.output.shape[axis + 1 :])
    return builder.concat([builder.reshape(part, shape) for part in call.inputs], axis)


def _split(builder: Builder, call: Arguments) -> tuple[Tensor, ...]:
    (data,) = call.inputs
    axis = int(call.attrs.axis) % data.rank
    begin = 0
    parts = []
    for output in call.outputs:
        begins = tuple(begin if i == axis else 0 for i in range(data.rank))
        parts.append(builder.slice(data, begins, (1,) * data.rank, output.shape))
        begin += output.shape[axis]
    return tuple(parts)


def _strided_slice(builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    fields = [[int(item) for item in argument.fields] for argument in call.call.args[1:]]
    axes, starts = fields[0], fields[1]
    steps = fields[3] if len(fields) > 3 else [1] * len(axes)
    begins, strides = [0] * data.rank, [1] * data.rank
    for axis, start, step in zip(axes, starts, steps, strict=True):
        if step <= 0:
            return None
        extent = data.shape[axis]
        begins[axis] = min(max(start + extent if start < 0 else start, 0), extent)
        strides[axis] = step
    return builder.slice(data, begins, strides, call.output.shape)


def _pad(builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    width = call.ints("pad_width")
    if call.attrs.pad_mode != "constant" or min(width) < 0 or not call.is_float():
        return None
    op = ops.Pad(tuple(width[0::2]), float(call.attrs.pad_value))
    return builder.emit(op, [data], call.output.shape)


def _take(builder: Builder, call: Arguments) -> Tensor | None:
    """Of known places that lie evenly, a slice."""
    data, indices = call.inputs
    axis = call.attrs.axis
    if axis is None or indices.dtype not in ("int32", "int64"):
        return None
    axis = int(axis) % data.rank
    if indices.data is None:
        if str(call.attrs.mode) != "fast" or data.dtype != "float32" or axis == data.rank - 1:
            return None
        return builder.emit(ops.Gather(axis), [data, indices], call.output.shape)
    places = indices.data.reshape(-1)
    if data.data is not None:
        return Tensor.constant(data.data.take(indices.data, axis))
    steps = np.diff(places)
    stride = int(steps[0]) if steps.size else 1
    if data.dtype != "float32" or places[0] < 0 or stride < 1 or np.any(steps != stride):
        return None
    begins, strides = [0] * data.rank, [1] * data.rank
    begins[axis], strides[axis] = int(places[0]), stride
    shape = (*data.shape[:axis], places.size, *data.shape[axis + 1 :])
    return builder.reshape(builder.slice(data, begins, strides, shape), call.output.shape)


def _dropout(builder: Builder, call: Arguments) -> tuple[Tensor, ...]:
    """In inference: the input, and a mask that lets everything pass."""
    mask = call.outputs[1]
    return call.inputs[0], Tensor.constant(np.broadcast_to(np.ones((), mask.dtype), mask.shape))


TRANSLATIONS: dict[str, Translation] = {
    "reshape": _reshape,
    "flatten": _reshape,
    "nn.batch_flatten": _reshape,
    "expand_dims": _reshape,
    "squeeze": _reshape,
    "permute_dims": _transpose,
    "broadcast_to": _broadcast,
    "concat": _concat,
    "stack": _stack,
    "split": _split,
    "strided_slice": _strided_slice,
    "nn.pad": _pad,
    "take": _take,
    "nn.dropout": _dropout,
}
