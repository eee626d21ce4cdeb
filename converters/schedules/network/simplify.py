"""Rewrites a network into fewer operations that compute the same.

One pass in order: each node is looked at together with what produces its inputs, which is simple already.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Array, Network, Node, Tensor

Rule = Callable[["Simplifier", Any, tuple[Tensor, ...], Tensor], "Tensor | None"]
"""From an operation, its inputs and a tensor of the output's shape to what computes the same, if known."""


def simplify(network: Network) -> Network:
    return Simplifier(network).run()


class Simplifier(Builder):
    """Builds the simple network. `now`: what stands for a tensor of the source."""

    def __init__(self, source: Network) -> None:
        super().__init__()
        self._source = source
        self._now: dict[Tensor, Tensor] = {}
        self._producers: dict[Tensor, Node] = {}
        self._uses: dict[Tensor, int] = {}

    def emit(
        self, op: Any, inputs: Sequence[Tensor], shape: tuple[int, ...], dtype: str = "float32"
    ) -> Tensor:
        result = super().emit(op, inputs, shape, dtype)
        self._producers[result] = self.nodes[-1]
        return result

    def run(self) -> Network:
        from converters.schedules.network.rules import RULES

        readers = self._source.consumers()
        for node in self._source.nodes:
            inputs = tuple(self._now.get(tensor, tensor) for tensor in node.inputs)
            result = None
            for rule in RULES.get(type(node.op), ()):
                result = rule(self, node.op, inputs, node.outputs[0])
                if result is not None:
                    break
            if result is None:
                self.nodes.append(Node(node.op, inputs, node.outputs))
                self._producers.update(dict.fromkeys(node.outputs, self.nodes[-1]))
                self._uses.update({tensor: self._count(readers, tensor) for tensor in node.outputs})
                continue
            assert (result.shape, result.dtype) == (node.output.shape, node.output.dtype), node.op
            self._now[node.output] = result
            # A tensor that stands for several is used by the readers of them all.
            self._uses[result] = self._uses.get(result, 0) + self._count(readers, node.output)
        outputs = tuple(self._now.get(tensor, tensor) for tensor in self._source.outputs)
        return Network(self.nodes, self._source.inputs, outputs).pruned()

    def _count(self, readers: dict[Tensor, list[Node]], tensor: Tensor) -> int:
        return len(readers.get(tensor, ())) + self._source.outputs.count(tensor)

    def made_by(self, tensor: Tensor, kind: type[Any], *, once: bool = False) -> Node | None:
        """The node of that kind which computes `tensor`; with `once` only if nothing else reads it."""
        node = self._producers.get(tensor)
        if node is None or not isinstance(node.op, kind) or (once and self._uses.get(tensor, 1) > 1):
            return None
        return node

    def again(self, op: Any, inputs: Sequence[Tensor], like: Tensor) -> Tensor:
        """The operation on these inputs, simplified as well as it can be."""
        from converters.schedules.network.rules import RULES

        for rule in RULES.get(type(op), ()):
            result = rule(self, op, tuple(inputs), like)
            if result is not None:
                return result
        return self.emit(op, inputs, like.shape, like.dtype)


def channel_values(constant: Tensor, rank: int, axis: int, channels: int) -> Array | None:
    """The value for each channel, if a constant that broadcasts to `rank` dimensions is one a channel."""
    if constant.data is None or constant.rank > rank:
        return None
    shape = (1,) * (rank - constant.rank) + constant.shape
    if any(dim != 1 for i, dim in enumerate(shape) if i != axis) or shape[axis] not in (1, channels):
        return None
    return np.broadcast_to(constant.data.reshape(-1), (channels,))
