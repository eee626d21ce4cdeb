"""Joins and cuts along the first axis cost nothing: what is joined is written in its place at once.

A tensor can be written in one place only, so what is joined twice, or is not written by a kernel of ours, is
copied for it; the copy is an identity, which fuses into whatever computes the tensor.
"""

from __future__ import annotations

from math import prod

from converters.schedules.network import ops
from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Network, Node, Tensor

# Kernels take it that tensors begin at such an address.
ALIGNMENT = 64


def join_in_place(network: Network) -> Network:
    return _Joining(network).run()


class _Joining(Builder):
    def __init__(self, source: Network) -> None:
        super().__init__()
        self._source = source
        self._owner: dict[Tensor, Tensor] = {}
        """The tensor whose memory a tensor is, for those that own none."""
        self._fixed: set[Tensor] = {*source.inputs, *source.outputs}
        """Tensors that own memory which cannot be chosen any more."""

    def run(self) -> Network:
        for node in self._source.nodes:
            self._node(node)
        return Network(self.nodes, self._source.inputs, self._source.outputs)

    def _node(self, node: Node) -> None:
        match node.op:
            case ops.Concat(axis) if _in_front(node.output, axis) and self._aligned(node.inputs, axis):
                self._join(node, axis)
            case ops.Slice(begins) if (cut := _cut_axis(node)) is not None:
                self._part(node, cut, begins[cut])
            case _:
                self.nodes.append(node)
                if isinstance(node.op, ops.Reshape):
                    self._owner[node.output] = self._root(node.inputs[0])
                elif isinstance(node.op, ops.Foreign):
                    self._fixed.update(node.outputs)

    def _root(self, tensor: Tensor) -> Tensor:
        while tensor in self._owner:
            tensor = self._owner[tensor]
        return tensor

    @staticmethod
    def _aligned(parts: tuple[Tensor, ...], axis: int) -> bool:
        return all(part.bytes % ALIGNMENT == 0 for part in parts[:-1])

    def _join(self, node: Node, axis: int) -> None:
        parts = [self.reshape(self._placeable(part), part.shape[axis:]) for part in node.inputs]
        shape = node.output.shape
        joined = Tensor(shape[axis:], node.output.dtype)
        self.nodes.append(Node(ops.Join(), tuple(parts), (joined,)))
        self._again(joined, node.output)

    def _placeable(self, part: Tensor) -> Tensor:
        """The tensor, or a copy of it, which from now on has its place."""
        root = self._root(part)
        if root in self._fixed or root.data is not None or root.bytes != part.bytes:
            part = root = self.emit(ops.Pointwise("identity"), [part], part.shape, part.dtype)
        self._fixed.add(root)
        return part

    def _part(self, node: Node, axis: int, begin: int) -> None:
        (data,) = node.inputs
        source = self.reshape(data, data.shape[axis:])
        part = Tensor(node.output.shape[axis:], data.dtype)
        self.nodes.append(Node(ops.Part(begin), (source,), (part,)))
        self._owner[part] = self._root(data)
        self._again(part, node.output)

    def _again(self, tensor: Tensor, output: Tensor) -> None:
        """`output` is `tensor` with leading axes of extent 1."""
        self.nodes.append(Node(ops.Reshape(), (tensor,), (output,)))
        self._owner[output] = tensor


def _in_front(tensor: Tensor, axis: int) -> bool:
    return prod(tensor.shape[:axis]) == 1


def _cut_axis(node: Node) -> int | None:
    """The axis that a slice cuts, if it is the first but for axes of extent 1, and the cut is aligned."""
    (data,) = node.inputs
    cut = [axis for axis in range(data.rank) if data.shape[axis] != node.output.shape[axis]]
    if len(cut) != 1 or node.op.strides[cut[0]] != 1 or not _in_front(data, cut[0]):
        return None
    (axis,) = cut
    begin = node.op.begins[axis] * (data.bytes // data.shape[axis])
    return axis if begin % ALIGNMENT == 0 else None
