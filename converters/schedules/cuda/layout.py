"""Puts images into channels-last layout, from the first convolution on to where nothing more wants it.

A tensor of [N, C, *spatial] becomes [N, *spatial, C]: the depths of a convolution's product are neighbours in
memory, and so are its results.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod

import numpy as np

from converters.request import ConversionError
from converters.rounding import round_tf32
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.problem import padded_columns
from converters.schedules.cuda.window import Window
from converters.schedules.network import ops
from converters.schedules.network.graph import Array, Network, Node, Shape, Tensor
from converters.schedules.network.layouts import Layouts


@dataclass(frozen=True)
class Convolution:
    """Data [N, *spatial, C] and a packed weight to [N, *output, K]; see `_packed_weight`."""

    window: Window
    groups: int

    def depth(self, channels: int) -> int:
        return channels // self.groups * prod(self.window.kernel)


@dataclass(frozen=True)
class Depthwise:
    """Data [N, *spatial, C], weight [*kernel, C]."""

    window: Window


@dataclass(frozen=True)
class Pooling:
    """ops.Pool on data [N, *spatial, C]."""

    kind: str
    window: Window
    counted: tuple[int, ...] | None


@dataclass(frozen=True)
class Resampling:
    """ops.Resample on data [N, *spatial, C]; for each axis, whether it has weights."""

    weighted: tuple[bool, ...]


def last(shape: Shape) -> Shape:
    """The shape with its channels last."""
    return (shape[0], *shape[2:], shape[1])


def assign_layouts(network: Network, gpu: Gpu) -> Network:
    return _Layouts(network, gpu).run()


class _Layouts(Layouts):
    """Rewrites a network; a tensor of the old one exists in the new one plain, channels last, or both."""

    def __init__(self, source: Network, gpu: Gpu) -> None:
        super().__init__(source)
        self._halves = gpu.precision == "fp16"
        self._rounded = gpu.precision == "tf32"
        self._last: dict[Tensor, Tensor] = {}

    def plain(self, tensor: Tensor) -> Tensor:
        """The tensor as it is in the source."""
        if tensor.data is not None or tensor in self._plain:
            return self._plain.get(tensor, tensor)
        if tensor not in self._last:
            return tensor  # bound outside the network
        axes = (0, tensor.rank - 1, *range(1, tensor.rank - 1))
        result = self._plain[tensor] = self.transpose(self._last[tensor], axes)
        return result

    def last(self, tensor: Tensor) -> Tensor:
        """The tensor with its channels last."""
        if tensor not in self._last:
            axes = (0, *range(2, tensor.rank), 1)
            self._last[tensor] = self.transpose(self.plain(tensor), axes)
        return self._last[tensor]

    def is_last(self, tensor: Tensor) -> bool:
        return tensor in self._last and tensor not in self._plain

    def _emit_last(self, node: Node, op: object, inputs: list[Tensor]) -> bool:
        output = node.output
        self._last[output] = self.emit(op, inputs, last(output.shape), output.dtype)
        return True

    def _convolve(self, node: Node) -> bool:
        data, weight, *bias = node.inputs
        op, output = node.op, node.output
        spatial = data.shape[2:]
        window = Window(spatial, output.shape[2:], weight.shape[2:], op.strides, op.dilations, op.pads)
        if op.groups == data.shape[1] == output.shape[1]:
            taps = self.packed(weight, "taps", _taps)
            self._with_bias(node, Depthwise(window), [self.last(data), taps], bias)
            return True
        packed = self.packed(weight, ("filters", op.groups), lambda w: self._filters(w, op.groups))
        self._with_bias(node, Convolution(window, op.groups), [self.last(data), packed], bias)
        return True

    def _deconvolve(self, node: Node) -> bool:
        data, weight, *bias = node.inputs
        op, output = node.op, node.output
        window = Window(
            data.shape[2:], output.shape[2:], weight.shape[2:], op.strides, op.dilations, op.pads, True
        )
        packed = self.packed(
            weight, ("transposed", op.groups), lambda w: self._filters(_turned(w, op.groups), op.groups)
        )
        self._with_bias(node, Convolution(window, op.groups), [self.last(data), packed], bias)
        return True

    def _with_bias(self, node: Node, op: object, inputs: list[Tensor], bias: list[Tensor]) -> None:
        """The bias is a summand like any other, which fuses."""
        shape = last(node.output.shape)
        result = self.emit(op, inputs, shape)
        if bias and not (bias[0].data is not None and not bias[0].data.any()):
            wide = self.reshape(self.plain(bias[0]), (*[1] * (len(shape) - 1), shape[-1]))
            result = self.emit(ops.Pointwise("add"), [result, wide], shape)
        self._last[node.output] = result

    def _filters(self, weight: Array, groups: int) -> Array:
        """[K, C/groups, *kernel] as the product reads it: [groups, depth, columns], depth being (tap,
        channel)."""
        filters, channels = weight.shape[:2]
        grouped = weight.reshape(groups, filters // groups, channels, -1)
        return self._columns(grouped.transpose(0, 3, 2, 1).reshape(groups, -1, filters // groups))

    def _matrices(self, weight: Array) -> Array:
        """[..., depth, columns] as `_columns` has every one of them."""
        packed = self._columns(weight.reshape(-1, *weight.shape[-2:]))
        return packed.reshape(*weight.shape[:-2], *packed.shape[1:])

    def _columns(self, matrices: Array) -> Array:
        """[groups, depth, columns] filled up with zeros; rounded to what tensor cores take; as pairs of
        halves [groups, depth / 2, columns, 2] where products are of halves."""
        _, depth, columns = matrices.shape
        fill = padded_columns(columns) - columns
        pairs = depth % 2 if self._halves else 0
        filled = np.pad(matrices, [(0, 0), (0, pairs), (0, fill)])
        if self._halves:
            split = filled.reshape(filled.shape[0], -1, 2, filled.shape[2])
            return np.ascontiguousarray(_halves(split.transpose(0, 1, 3, 2)))
        return np.ascontiguousarray(round_tf32(filled) if self._rounded else filled)

    def _matmul(self, node: Node) -> bool:
        """A constant right operand is packed."""
        left, right = node.inputs
        if right.data is None or node.op.right is not None:
            return False
        weight = self.packed(right, "columns", self._matrices)
        op = replace(node.op, right=ops.PACKED)
        self.nodes.append(Node(op, (self.plain(left), weight), node.outputs))
        self._plain[node.output] = node.output
        return True

    def _pool(self, node: Node) -> bool:
        (data,) = node.inputs
        op = node.op
        window = Window(data.shape[2:], node.output.shape[2:], op.kernel, op.strides, op.dilations, op.pads)
        return self._emit_last(node, Pooling(op.kind, window, op.counted), [self.last(data)])

    def _resample(self, node: Node) -> bool:
        data, *tables = node.inputs
        inputs, weighted = [self.last(data)], []
        for places, weights in zip(tables[::2], tables[1::2], strict=True):
            assert weights.data is not None
            weighted.append(places.shape[0] > 1 or bool(np.any(weights.data != 1)))
            inputs += [places, weights] if weighted[-1] else [places]
        return self._emit_last(node, Resampling(tuple(weighted)), inputs)

    def _channelaverage(self, node: Node) -> bool:
        return self._emit_last(node, node.op, [self.last(node.inputs[0])])

    def _channelshuffle(self, node: Node) -> bool:
        return self._emit_last(node, node.op, [self.last(node.inputs[0])])

    def _pointwise(self, node: Node) -> bool:
        shape = node.output.shape
        if not any(self.is_last(x) and x.shape == shape for x in node.inputs):
            return False
        return self._emit_last(node, node.op, [self._as_wide(x, len(shape)) for x in node.inputs])

    def _as_wide(self, tensor: Tensor, rank: int) -> Tensor:
        """An input of an operation with the channels last."""
        if tensor.rank == rank:
            return self.last(tensor)
        shape = (1,) * (rank - tensor.rank) + tensor.shape
        return self.transpose(self.reshape(self.plain(tensor), shape), (0, *range(2, rank), 1))

    def _reduce(self, node: Node) -> bool:
        (data,) = node.inputs
        if not self.is_last(data):
            return False
        moved = {0: 0, 1: data.rank - 1, **{axis: axis - 1 for axis in range(2, data.rank)}}
        axes = tuple(sorted(moved[axis] for axis in node.op.axes))
        return self._emit_last(node, ops.Reduce(node.op.kind, axes), [self.last(data)])

    def _concat(self, node: Node) -> bool:
        if not any(map(self.is_last, node.inputs)) or node.output.rank < 3:
            return False
        rank = node.output.rank
        axis = {0: 0, 1: rank - 1}.get(node.op.axis, node.op.axis - 1)
        return self._emit_last(node, ops.Concat(axis), [self.last(part) for part in node.inputs])

    def _slice(self, node: Node) -> bool:
        (data,) = node.inputs
        if not self.is_last(data) or data.rank < 3:
            return False
        op = ops.Slice(last(node.op.begins), last(node.op.strides))
        return self._emit_last(node, op, [self.last(data)])

    def _pad(self, node: Node) -> bool:
        (data,) = node.inputs
        if not self.is_last(data) or data.rank < 3:
            return False
        return self._emit_last(node, ops.Pad(last(node.op.before), node.op.value), [self.last(data)])

    def _reshape(self, node: Node) -> bool:
        """Spatial axes may be joined or split."""
        (data,) = node.inputs
        old, new = data.shape, node.output.shape
        if not self.is_last(data) or old[:2] != new[:2] or len(new) < 3:
            return False
        self._last[node.output] = self.reshape(self.last(data), last(new))
        return True

    def _transpose(self, node: Node) -> bool:
        """Channels go from behind the batch to the end, or back."""
        (data,) = node.inputs
        if node.op.axes == (0, *range(2, data.rank), 1) and self.is_last(data):
            self._plain[node.output] = self._last[data]
            return True
        if node.op.axes == (0, data.rank - 1, *range(1, data.rank - 1)) and data.rank >= 3:
            self._last[node.output] = self.plain(data)
            return True
        return False


def _halves(weights: Array) -> Array:
    """ConversionError if a weight lies beyond them."""
    with np.errstate(over="ignore"):
        halves = weights.astype(np.float16)
    beyond = weights[np.isinf(halves) & np.isfinite(weights)]
    if beyond.size:
        raise ConversionError(
            f"precision fp16: a weight of {beyond[0]:.6g} is beyond {np.finfo(np.float16).max:.0f}: use tf32"
        )
    return halves


def _taps(weight: Array) -> Array:
    """[C, 1, *kernel] as [*kernel, C]."""
    return np.ascontiguousarray(np.moveaxis(weight[:, 0], 0, -1))


def _turned(weight: Array, groups: int) -> Array:
    """[C, K/groups, *kernel] as [K, C/groups, *kernel]."""
    channels, each = weight.shape[:2]
    grouped = weight.reshape(groups, channels // groups, each, *weight.shape[2:])
    return np.swapaxes(grouped, 1, 2).reshape(groups * each, channels // groups, *weight.shape[2:])
