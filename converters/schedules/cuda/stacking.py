"""Products of one tensor with several weights become one: a single launch with the blocks of them all.

Their weights are stacked, a matrix each along a new first axis, and so are the results: each is a part of one
piece of memory (`network.joining`), and nothing that reads it changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from converters.schedules.network import ops
from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Array, Network, Node, Tensor
from converters.schedules.network.joining import ALIGNMENT
from converters.schedules.network.simplify import channel_values


def stack_products(network: Network) -> Network:
    return _Stacking(network).run()


@dataclass(frozen=True, eq=False)
class _Dense:
    """A product with a constant matrix, and the bias that is added to it, if any."""

    nodes: tuple[Node, ...]
    bias: Array | None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return self.nodes[0].inputs

    @property
    def result(self) -> Tensor:
        return self.nodes[-1].output


class _Stacking(Builder):
    def __init__(self, source: Network) -> None:
        super().__init__()
        self._source = source
        self._producers = source.producers()
        self._readers = source.consumers()

    def run(self) -> Network:
        stacks = [stack for stack in self._groups() if len(stack) > 1]
        first = {stack[0].nodes[0]: stack for stack in stacks}
        replaced = {node for stack in stacks for dense in stack for node in dense.nodes}
        for node in self._source.nodes:
            if node in first:
                self._stack(first[node])
            elif node not in replaced:
                self.nodes.append(node)
        return Network(self.nodes, self._source.inputs, self._source.outputs)

    def _groups(self) -> Iterable[Sequence[_Dense]]:
        """Products of the same elements, in the same shapes."""
        groups: dict[tuple[object, ...], list[_Dense]] = {}
        for node in self._source.nodes:
            dense = self._dense(node)
            if dense is not None:
                left, right = dense.inputs
                groups.setdefault((self._root(left), left.shape, right.shape), []).append(dense)
        return groups.values()

    def _dense(self, node: Node) -> _Dense | None:
        """The product that a node is, if it can be stacked."""
        if node.op != ops.Matmul():
            return None
        left, right = node.inputs
        if right.data is None or right.rank != 2 or left.data is not None:
            return None
        # Whole rows, so that all batch sizes have the same constants.
        if right.shape[1] * np.dtype(right.dtype).itemsize % ALIGNMENT:
            return None
        dense = self._biased(node)
        return dense if self._can_be_part(dense.result) else None

    def _biased(self, node: Node) -> _Dense:
        product = node.output
        match self._readers.get(product, ()):
            case [Node(op=ops.Pointwise("add"), inputs=(first, second)) as add] if first is product:
                bias = channel_values(second, product.rank, product.rank - 1, product.shape[-1])
                kept = add.output.shape == product.shape and product not in self._source.outputs
                if bias is not None and kept:
                    return _Dense((node, add), bias)
        return _Dense((node,), None)

    def _can_be_part(self, tensor: Tensor) -> bool:
        """Whether a tensor is as good in memory that is not its own: outputs and what is joined in its place
        would be copied, and a pointwise operation on it alone would be a kernel of its own."""
        readers = self._readers.get(tensor, ())
        if any(isinstance(reader.op, ops.Pointwise) for reader in readers):
            return False
        stack = [tensor]
        while stack:
            here = stack.pop()
            if here in self._source.outputs:
                return False
            for reader in self._readers.get(here, ()):
                if isinstance(reader.op, ops.Concat):
                    return False
                if isinstance(reader.op, ops.Reshape):
                    stack.append(reader.output)
        return True

    def _root(self, tensor: Tensor) -> Tensor:
        """The tensor whose elements, in their order, this one has."""
        while tensor in self._producers and isinstance(self._producers[tensor].op, ops.Reshape):
            (tensor,) = self._producers[tensor].inputs
        return tensor

    def _stack(self, stack: Sequence[_Dense]) -> None:
        left, right = stack[0].inputs
        count, ones = len(stack), (1,) * (left.rank - 2)
        weights = np.stack([_data(dense.inputs[1]) for dense in stack])
        product = self.emit(
            ops.Matmul(),
            [
                self.reshape(left, (1, *left.shape)),
                Tensor.constant(weights.reshape(count, *ones, *right.shape)),
            ],
            (count, *stack[0].result.shape),
        )
        if any(dense.bias is not None for dense in stack):
            none = np.zeros(right.shape[-1], np.float32)
            biases = np.stack([none if dense.bias is None else dense.bias for dense in stack])
            product = self.pointwise(
                "add", product, Tensor.constant(biases.reshape(count, *ones, 1, right.shape[-1]))
            )
        for number, dense in enumerate(stack):
            begins = (number, *[0] * left.rank)
            part = self.slice(product, begins, (1,) * len(begins), (1, *product.shape[1:]))
            self.nodes.append(Node(ops.Reshape(), (part,), (dense.result,)))


def _data(constant: Tensor) -> Array:
    assert constant.data is not None
    return constant.data
