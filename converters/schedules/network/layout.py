"""Puts images into blocked layout, from the first convolution on to where nothing more wants it.

A blocked tensor of [N, C, *spatial] is [C/v, N, *spatial, v]: v channels, as many as a vector has lanes, lie
side by side, so a convolution reads and writes whole vectors at every pixel. Where v does not divide C the
last block is filled up with lanes whose values nothing depends on. Blocks come before images so that some
channels of all images are one piece of memory: joining or splitting channels need not move anything.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from converters.schedules.cpu.pooling import Pooling
from converters.schedules.cpu.resampling import Resampling
from converters.schedules.cpu.window import Window
from converters.schedules.machine import Machine
from converters.schedules.network import ops
from converters.schedules.network.algorithms import choose_algorithms
from converters.schedules.network.graph import Array, Network, Node, Shape, Tensor
from converters.schedules.network.layouts import Layouts


@dataclass(frozen=True)
class Block:
    """[N, C, *spatial], or [N, *spatial, C] if `channels_last`, into blocks."""

    channels_last: bool = False


@dataclass(frozen=True)
class Unblock:
    """The inverse of Block."""

    channels_last: bool = False


@dataclass(frozen=True)
class BlockedAverage:
    """ChannelAverage of a blocked tensor of so many channels."""

    channels: int
    size: int


@dataclass(frozen=True)
class BlockedShuffle:
    """ChannelShuffle of a blocked tensor of so many channels."""

    channels: int
    groups: int


def blocked_shape(shape: Shape, lanes: int) -> Shape:
    return (-(-shape[1] // lanes), shape[0], *shape[2:], lanes)


def block(data: Array, lanes: int) -> Array:
    """A constant in blocks; filled up with zeros."""
    channels = data.shape[1]
    fill = -channels % lanes
    if fill:
        data = np.pad(data, [(0, 0), (0, fill), *[(0, 0)] * (data.ndim - 2)])
    split = data.reshape(data.shape[0], -1, lanes, *data.shape[2:])
    return np.ascontiguousarray(np.moveaxis(split, (1, 2), (0, -1)))


def pack_columns(matrix: Array, lanes: int) -> Array:
    """[..., K, N] with leading extents of 1 as [N/v, K, v], filled up with zeros."""
    depth, columns = matrix.shape[-2:]
    whole = np.pad(matrix.reshape(depth, columns), [(0, 0), (0, -columns % lanes)])
    return np.ascontiguousarray(whole.reshape(depth, -1, lanes).transpose(1, 0, 2))


def assign_layouts(network: Network, machine: Machine) -> Network:
    return _Layouts(network, machine).run()


class _Layouts(Layouts):
    """Rewrites a network; a tensor of the old one exists in the new one plain, blocked or both."""

    def __init__(self, source: Network, machine: Machine) -> None:
        super().__init__(source)
        self.lanes = machine.lanes
        self.algorithms = choose_algorithms(source, machine)
        self._blocked: dict[Tensor, Tensor] = {}
        self._channels_last: dict[Tensor, Tensor] = {}

    def is_blocked(self, tensor: Tensor) -> bool:
        return tensor in self._blocked

    def plain(self, tensor: Tensor) -> Tensor:
        """The tensor as it is in the source."""
        if tensor.data is not None or tensor in self._plain:
            return self._plain.get(tensor, tensor)
        if tensor in self._channels_last:
            axes = (0, tensor.rank - 1, *range(1, tensor.rank - 1))
            result = self.transpose(self._channels_last[tensor], axes)
        elif tensor in self._blocked:
            result = self._unblock(tensor)
        else:
            return tensor  # bound outside the network
        self._plain[tensor] = result
        return result

    def _unblock(self, tensor: Tensor, *, channels_last: bool = False) -> Tensor:
        source = self._blocked[tensor]
        shape = tensor.shape if not channels_last else (tensor.shape[0], *tensor.shape[2:], tensor.shape[1])
        single = tensor.size == tensor.shape[1]
        if single and tensor.shape[1] % self.lanes == 0:
            return self.reshape(source, shape)
        return self.emit(Unblock(channels_last), [source], shape)

    def blocked(self, tensor: Tensor) -> Tensor:
        """The tensor in blocks."""
        if tensor in self._blocked:
            return self._blocked[tensor]
        if tensor.data is not None:
            result = Tensor.constant(block(tensor.data, self.lanes))
        else:
            shape = blocked_shape(tensor.shape, self.lanes)
            source = self._channels_last.get(tensor)
            if tensor.size == tensor.shape[1] and tensor.size % self.lanes == 0:
                result = self.reshape(self.plain(tensor), shape)
            elif source is not None:
                result = self.emit(Block(channels_last=True), [source], shape)
            else:
                result = self.emit(Block(), [self.plain(tensor)], shape)
        self._blocked[tensor] = result
        return result

    def _emit_blocked(self, node: Node, op: object, inputs: list[Tensor]) -> bool:
        self._blocked[node.output] = self.emit(op, inputs, blocked_shape(node.output.shape, self.lanes))
        return True

    def _convolve(self, node: Node) -> bool:
        from converters.schedules.network.convolutions import lower_convolution

        self._blocked[node.output] = lower_convolution(self, node)
        return True

    def _deconvolve(self, node: Node) -> bool:
        from converters.schedules.network.deconvolutions import lower_deconvolution

        self._blocked[node.output] = lower_deconvolution(self, node)
        return True

    def _resample(self, node: Node) -> bool:
        data, *tables = node.inputs
        inputs, axes = [self.blocked(data)], []
        for places, weights in zip(tables[::2], tables[1::2], strict=True):
            assert weights.data is not None
            weighted = places.shape[0] > 1 or bool(np.any(weights.data != 1))
            inputs += [places, weights] if weighted else [places]
            axes.append((places.shape[0], weighted))
        return self._emit_blocked(node, Resampling(tuple(axes)), inputs)

    def _pool(self, node: Node) -> bool:
        (data,) = node.inputs
        batch, channels, *spatial = data.shape
        op = node.op
        window = Window(tuple(spatial), node.output.shape[2:], op.kernel, op.strides, op.dilations, op.pads)
        pool = Pooling(op.kind, batch, -(-channels // self.lanes), window, op.counted)
        return self._emit_blocked(node, pool, [self.blocked(data)])

    def _channelaverage(self, node: Node) -> bool:
        (data,) = node.inputs
        return self._emit_blocked(node, BlockedAverage(data.shape[1], node.op.size), [self.blocked(data)])

    def _channelshuffle(self, node: Node) -> bool:
        (data,) = node.inputs
        return self._emit_blocked(node, BlockedShuffle(data.shape[1], node.op.groups), [self.blocked(data)])

    def _matmul(self, node: Node) -> bool:
        """A constant right operand is packed into vectors of columns."""
        left, right = node.inputs
        if right.data is None or any(n != 1 for n in right.shape[:-2]) or node.op.right is not None:
            return False
        weight = self.packed(right, "columns", lambda matrix: pack_columns(matrix, self.lanes))
        op = ops.Matmul(node.op.left, ops.PACKED, node.op.output)
        self.nodes.append(Node(op, (self.plain(left), weight), node.outputs))
        self._plain[node.output] = node.output
        return True

    def _pointwise(self, node: Node) -> bool:
        shape = node.output.shape
        if not any(self.is_blocked(x) and x.shape == shape and x not in self._plain for x in node.inputs):
            return False
        inputs = [self._broadcast_blocked(tensor, len(shape)) for tensor in node.inputs]
        return self._emit_blocked(node, node.op, inputs)

    def _broadcast_blocked(self, tensor: Tensor, rank: int) -> Tensor:
        """An input of a blocked operation: in blocks, or with one channel for all."""
        shape = (1,) * (rank - tensor.rank) + tensor.shape
        if shape[1] == 1:
            return self.reshape(self.plain(tensor), (1, shape[0], *shape[2:], 1))
        if tensor.shape == shape:
            return self.blocked(tensor)
        wider = self.reshape(self.plain(tensor), shape)
        self._plain[wider] = wider
        return self.blocked(wider)

    def _reduce(self, node: Node) -> bool:
        (data,) = node.inputs
        if not self.is_blocked(data) or min(node.op.axes) < 2:
            return False
        return self._emit_blocked(node, node.op, [self.blocked(data)])

    def _concat(self, node: Node) -> bool:
        """Channels are joined in blocks as long as every part but the last is whole blocks."""
        parts = node.inputs
        if not any(map(self.is_blocked, parts)):
            return False
        if node.op.axis == 1 and any(part.shape[1] % self.lanes for part in parts[:-1]):
            return False
        op = ops.Concat({0: 1, 1: 0}.get(node.op.axis, node.op.axis))
        return self._emit_blocked(node, op, [self.blocked(part) for part in parts])

    def _slice(self, node: Node) -> bool:
        (data,) = node.inputs
        begins, strides, count = node.op.begins, node.op.strides, node.output.shape
        if not self.is_blocked(data) or data.rank < 3:
            return False
        whole = begins[1] == 0 and count[1] == data.shape[1]
        aligned = begins[1] % self.lanes == 0 and (
            count[1] % self.lanes == 0 or begins[1] + count[1] == data.shape[1]
        )
        if not whole and not (aligned and strides[1] == 1):
            return False
        first = (begins[1] // self.lanes, begins[0], *begins[2:], 0)
        steps = (1, strides[0], *strides[2:], 1)
        shape = blocked_shape(count, self.lanes)
        self._blocked[node.output] = self.slice(self.blocked(data), first, steps, shape)
        return True

    def _reshape(self, node: Node) -> bool:
        """Spatial axes may be joined or split inside the blocks."""
        (data,) = node.inputs
        old, new = data.shape, node.output.shape
        if not self.is_blocked(data) or data in self._plain or old[:2] != new[:2] or len(new) < 3:
            return False
        self._blocked[node.output] = self.reshape(self.blocked(data), blocked_shape(new, self.lanes))
        return True

    def _transpose(self, node: Node) -> bool:
        """Channels go from behind the batch to the end, or back."""
        (data,) = node.inputs
        to_last = (0, *range(2, data.rank), 1)
        if node.op.axes == to_last and self.is_blocked(data) and data not in self._plain:
            self._plain[node.output] = self._unblock(data, channels_last=True)
            return True
        if node.op.axes == (0, data.rank - 1, *range(1, data.rank - 1)) and data.rank >= 3:
            self._channels_last[node.output] = self.plain(data)
            return True
        return False
