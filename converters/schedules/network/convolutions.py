"""Chooses the kernel of a convolution and packs its weight for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converters.schedules.cpu.convolution import Convolution
from converters.schedules.cpu.depthwise import Depthwise
from converters.schedules.cpu.toom import kernel_transformed
from converters.schedules.cpu.window import Window
from converters.schedules.cpu.winograd import Winograd
from converters.schedules.network.graph import Array, Node, Tensor

if TYPE_CHECKING:
    from converters.schedules.network.layout import _Layouts


def lower_convolution(to: _Layouts, node: Node) -> Tensor:
    """The convolution's output in blocks."""
    data, weight, *rest = node.inputs
    assert weight.data is not None
    lanes = to.lanes
    batch, channels, *spatial = data.shape
    _, filters, *output = node.output.shape
    op = node.op
    window = Window(tuple(spatial), tuple(output), weight.shape[2:], op.strides, op.dilations, op.pads)
    bias = rest[0] if rest else Tensor.constant(np.zeros(filters, np.float32))
    shape = (-(-filters // lanes), batch, *output, lanes)
    start = to.packed(bias, "vectors", lambda values: in_vectors(values, lanes))
    if op.groups == channels == filters:
        taps = to.packed(weight, "taps", lambda values: _taps(values, lanes))
        return to.emit(Depthwise(batch, shape[0], window), [to.blocked(data), taps, start], shape)
    if outputs := to.algorithms.get(node, 0):
        fast = Winograd(batch, channels, shape[0], window, outputs)
        points = to.packed(weight, outputs, lambda values: _at_points(values, outputs, lanes))
        return to.emit(fast, [to.blocked(data), points, start], shape)
    blocked = to.is_blocked(data) or channels >= lanes
    conv = Convolution.of(batch, channels, filters, op.groups, window, lanes, blocked=blocked)
    packed = to.packed(weight, conv, lambda values: pack(values, conv, op.groups, lanes))
    return to.emit(conv, [to.blocked(data) if blocked else to.plain(data), packed, start], shape)


def _at_points(weight: Array, outputs: int, lanes: int) -> Array:
    """[K, C, 3, 3] as [points, K/v, C, v], filled up with zeros."""
    filters, channels = weight.shape[:2]
    filled = np.pad(weight, [(0, -filters % lanes), (0, 0), (0, 0), (0, 0)])
    evaluated = kernel_transformed(filled, outputs).astype(np.float32)
    split = evaluated.reshape(-1, filled.shape[0] // lanes, lanes, channels)
    return np.ascontiguousarray(split.swapaxes(2, 3))


def _taps(weight: Array, lanes: int) -> Array:
    """[C, 1, *kernel] as [C/v, *kernel, v]."""
    split = in_vectors(weight[:, 0], lanes)
    return np.ascontiguousarray(np.moveaxis(split, 1, -1))


def in_vectors(values: Array, lanes: int) -> Array:
    """[K, ...] as [K/v, v, ...], filled up with zeros."""
    fill = -values.shape[0] % lanes
    padded = np.pad(values, [(0, fill), *[(0, 0)] * (values.ndim - 1)])
    return padded.reshape(-1, lanes, *values.shape[1:])


def pack(weight: Array, conv: Convolution, groups: int, lanes: int) -> Array:
    """[K, C/groups, *kernel] as the kernel reads it: [K/v, input blocks, *kernel, v in or 1, v out].

    A block of output channels that belong to several groups multiplies the inputs of them all, with zeros
    where a channel is of another group than the filter.
    """
    spread = np.zeros(
        (conv.groups * conv.out_blocks * lanes, conv.in_channels, *weight.shape[2:]), np.float32
    )
    filters, own = weight.shape[:2]
    per_group = filters // groups
    if groups == 1:
        spread[:filters] = weight
    else:
        for group in range(groups):
            rows = np.arange(group * per_group, (group + 1) * per_group)
            begins = np.array(
                [conv.first_channel(int(row) // (conv.out_blocks * lanes), lanes) for row in rows]
            )
            for begin in np.unique(begins):
                some = rows[begins == begin]
                first = group * own - begin
                spread[some, first : first + own] = weight[some]
    inner = conv.inner(lanes)
    fill = -conv.in_channels % inner
    spread = np.pad(spread, [(0, 0), (0, fill), *[(0, 0)] * (weight.ndim - 2)])
    split = spread.reshape(-1, lanes, spread.shape[1] // inner, inner, *weight.shape[2:])
    order = (0, 2, *range(4, split.ndim), 3, 1)
    return np.ascontiguousarray(split.transpose(order))
