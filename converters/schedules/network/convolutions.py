"""Chooses the kernel of a convolution and packs its weight for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from converters.schedules.cpu.convolution import Convolution
from converters.schedules.cpu.depthwise import Depthwise
from converters.schedules.cpu.window import Window
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
    bias = np.zeros(filters, np.float32) if not rest else rest[0].data
    assert bias is not None
    shape = (batch, -(-filters // lanes), *output, lanes)
    packed_bias = Tensor.constant(_in_vectors(bias, lanes))
    if op.groups == channels == filters:
        taps = _in_vectors(weight.data.reshape(filters, -1), lanes)
        taps = np.ascontiguousarray(np.moveaxis(taps, 1, 2)).reshape(shape[1], *window.kernel, lanes)
        inputs = [to.blocked(data), Tensor.constant(taps), packed_bias]
        return to.emit(Depthwise(batch, shape[1], window), inputs, shape)
    blocked = to.is_blocked(data) or channels >= lanes
    conv = Convolution.of(batch, channels, filters, op.groups, window, lanes, blocked=blocked)
    packed = Tensor.constant(pack(weight.data, conv, channels, filters, op.groups, lanes))
    return to.emit(conv, [to.blocked(data) if blocked else to.plain(data), packed, packed_bias], shape)


def _in_vectors(values: Array, lanes: int) -> Array:
    """[K, ...] as [K/v, v, ...], filled up with zeros."""
    fill = -values.shape[0] % lanes
    padded = np.pad(values, [(0, fill), *[(0, 0)] * (values.ndim - 1)])
    return padded.reshape(-1, lanes, *values.shape[1:])


def pack(weight: Array, conv: Convolution, channels: int, filters: int, groups: int, lanes: int) -> Array:
    """[K, C/groups, *kernel] as the kernel reads it: [K/v, input blocks, *kernel, v in or 1, v out].

    A block of output channels that belong to several groups multiplies the inputs of them all, with zeros
    where a channel is of another group than the filter.
    """
    spread = np.zeros(
        (conv.groups * conv.out_blocks * lanes, conv.in_channels, *weight.shape[2:]), np.float32
    )
    per_group, own = filters // groups, weight.shape[1]
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
