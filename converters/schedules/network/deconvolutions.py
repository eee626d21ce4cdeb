"""Transposed convolutions as convolutions, one for each phase of the output.

On one axis, output position o of stride s, kernel w and padding p is the sum of x[i] w[o + p - i s] over i.
The taps that meet o are those of its phase, (o + p) mod s: w[phase], w[phase + s], ... Among outputs of one
phase that is a convolution of stride 1 with these taps, in reverse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from converters.schedules.cpu.convolution import Convolution, Deconvolution
from converters.schedules.cpu.window import Window
from converters.schedules.network.convolutions import in_vectors, pack
from converters.schedules.network.graph import Array, Node, Tensor

if TYPE_CHECKING:
    from converters.schedules.network.layout import _Layouts


@dataclass(frozen=True)
class Phase:
    """On one axis: output positions `begin`, `begin` + stride and so on, `count` of them; the taps in the
    order in which they meet the input, whose first one lies `pad` before the first position."""

    begin: int
    count: int
    taps: tuple[int, ...]
    pad: int


def phases(kernel: int, stride: int, pad: int, dilation: int, output: int) -> list[Phase]:
    """All phases of an axis. Dilation is only for stride 1."""
    assert stride == 1 or dilation == 1
    if stride == 1:
        return [Phase(0, output, tuple(reversed(range(kernel))), (kernel - 1) * dilation - pad)]
    found = []
    for begin in range(min(stride, output)):
        phase = (begin + pad) % stride
        taps = tuple(reversed(range(phase, kernel, stride)))
        first = (begin + pad - phase) // stride
        count = -(-(output - begin) // stride)
        found.append(Phase(begin, count, taps, len(taps) - 1 - first))
    return found


def lower_deconvolution(to: _Layouts, node: Node) -> Tensor:
    """The output in blocks."""
    data, weight, *rest = node.inputs
    batch, channels, *spatial = data.shape
    _, filters, *output = node.output.shape
    op, lanes = node.op, to.lanes
    bias = rest[0] if rest else Tensor.constant(np.zeros(filters, np.float32))
    axes = [
        phases(*axis)
        for axis in zip(weight.shape[2:], op.strides, op.pads, op.dilations, output, strict=True)
    ]
    convolutions, weights = [], []
    for chosen in product(*axes):
        window = Window(
            tuple(spatial),
            tuple(phase.count for phase in chosen),
            tuple(max(len(phase.taps), 1) for phase in chosen),
            (1,) * len(spatial),
            op.dilations,
            tuple(phase.pad for phase in chosen),
        )
        conv = Convolution.of(batch, channels, filters, op.groups, window, lanes, blocked=True)
        begins = tuple(phase.begin for phase in chosen)
        convolutions.append(replace(conv, steps=op.strides, begins=begins))
        assert weight.data is not None
        taken = _taken(weight.data, chosen, op.groups)
        weights.append(Tensor.constant(pack(taken, conv, op.groups, lanes)))
    start = to.packed(bias, "vectors", lambda values: in_vectors(values, lanes))
    shape = (-(-filters // lanes), batch, *output, lanes)
    inputs = [to.blocked(data), *weights, start]
    return to.emit(Deconvolution(tuple(convolutions)), inputs, shape)


def _taken(weight: Array, chosen: tuple[Phase, ...], groups: int) -> Array:
    """[C, K/groups, *kernel] as the weight of a phase's convolution, [K, C/groups, *taps]; a phase without
    taps gets a zero."""
    channels, per_group = weight.shape[:2]
    grouped = weight.reshape(groups, channels // groups, per_group, *weight.shape[2:])
    turned = np.swapaxes(grouped, 1, 2).reshape(groups * per_group, channels // groups, *weight.shape[2:])
    for axis, phase in enumerate(chosen, start=2):
        turned = turned.take(phase.taps, axis) if phase.taps else np.zeros_like(turned.take([0], axis))
    return np.ascontiguousarray(turned)
