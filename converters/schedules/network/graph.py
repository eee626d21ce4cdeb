"""A model between import and kernels: operations on tensors of known shapes, in an order that computes them.

Relax says the same, but is rewritten through bindings and visitors; the passes here look at producers and
consumers and change several nodes at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Shape = tuple[int, ...]


@dataclass(eq=False)
class Tensor:
    """One value, known by its identity. `data`: what it is, if it is the same in every run."""

    shape: Shape
    dtype: str = "float32"
    data: Array | None = None

    @classmethod
    def constant(cls, data: Array) -> Tensor:
        return cls(tuple(data.shape), str(data.dtype), data)

    @property
    def size(self) -> int:
        return prod(self.shape)

    @property
    def bytes(self) -> int:
        return self.size * np.dtype(self.dtype).itemsize

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def scalar(self) -> float | None:
        """The number that every element is, for a constant of one element."""
        return float(self.data.reshape(-1)[0]) if self.data is not None and self.size == 1 else None

    def __repr__(self) -> str:
        return f"{'const ' if self.data is not None else ''}{self.dtype}{list(self.shape)}"


@dataclass(eq=False)
class Node:
    """An operation. What it does to its inputs is in `op`, a frozen dataclass."""

    op: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def output(self) -> Tensor:
        (only,) = self.outputs
        return only


@dataclass
class Network:
    nodes: list[Node]
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    def producers(self) -> dict[Tensor, Node]:
        return {tensor: node for node in self.nodes for tensor in node.outputs}

    def consumers(self) -> dict[Tensor, list[Node]]:
        """The nodes that read a tensor, once for each time they do. Tensors that none reads are missing."""
        readers: dict[Tensor, list[Node]] = {}
        for node in self.nodes:
            for tensor in node.inputs:
                readers.setdefault(tensor, []).append(node)
        return readers

    def pruned(self) -> Network:
        """Without the nodes that no output depends on."""
        wanted = set(self.outputs)
        kept = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.outputs):
                wanted.update(node.inputs)
                kept.append(node)
        return Network(kept[::-1], self.inputs, self.outputs)


def sorted_nodes(nodes: Iterable[Node]) -> list[Node]:
    """The nodes in an order in which inputs come before their use, otherwise in the given one."""
    pending = list(nodes)
    producers: Mapping[Tensor, Node] = {tensor: node for node in pending for tensor in node.outputs}
    done: set[int] = set()
    order: list[Node] = []
    for root in pending:
        stack = [(root, False)]
        while stack:
            node, ready = stack.pop()
            if id(node) in done:
                continue
            if ready:
                done.add(id(node))
                order.append(node)
                continue
            stack.append((node, True))
            needed = [producers[tensor] for tensor in node.inputs if tensor in producers]
            stack.extend((other, False) for other in reversed(needed) if id(other) not in done)
    return order
