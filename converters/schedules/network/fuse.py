"""Groups operations into kernels: what is pointwise joins what produces its input, where nothing forbids it.

A group has at most one anchor (a convolution, a product, a movement), whose result its pointwise operations
take on from registers, or any number of reductions over the same axes, between which a row stays in cache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from converters.schedules.network import ops
from converters.schedules.network.graph import Network, Node, Shape, Tensor, sorted_nodes
from converters.schedules.network.program import Fused, Program, Step


@dataclass(eq=False)
class Group:
    """`shape` is that of the elements it runs over; empty for operations that nothing joins."""

    nodes: list[Node]
    shape: Shape
    anchored: bool
    axes: tuple[int, ...] = ()
    first: int = 0
    last: int = 0
    """The positions of its nodes in the network lie between these."""
    inputs: set[Tensor] = field(default_factory=set)


def fuse(network: Network, is_anchor: Callable[[object], bool]) -> Network:
    """`is_anchor`: whether pointwise operations can join an operation that is neither pointwise nor a
    reduction."""
    groups = _Grouping(network, is_anchor).run()
    readers = network.consumers()
    nodes = [node for group in groups for node in _lower(group, network, readers)]
    return Network(sorted_nodes(nodes), network.inputs, network.outputs)


class _Grouping:
    def __init__(self, network: Network, is_anchor: Callable[[object], bool]) -> None:
        self._network = network
        self._is_anchor = is_anchor
        self._groups: dict[Group, None] = {}
        self._owner: dict[Tensor, Group] = {}

    def run(self) -> list[Group]:
        for position, node in enumerate(self._network.nodes):
            group = self._new(position, node)
            if isinstance(node.op, ops.Pointwise | ops.Reduce):
                producers = dict.fromkeys(self._owner[x] for x in node.inputs if x in self._owner)
                for other in sorted(producers, key=lambda g: g.first, reverse=True):
                    if other in self._groups and other is not group and self._joinable(other, group):
                        group = self._join(other, group)
            self._owner.update(dict.fromkeys(node.outputs, group))
        return list(self._groups)

    def _new(self, position: int, node: Node) -> Group:
        match node.op:
            case ops.Pointwise():
                group = Group([node], node.output.shape, anchored=False)
            case ops.Reduce():
                group = Group([node], node.inputs[0].shape, anchored=False, axes=node.op.axes)
            case op:
                shape = node.outputs[0].shape if self._is_anchor(op) else ()
                group = Group([node], shape, anchored=True)
        group.first = group.last = position
        group.inputs = set(node.inputs)
        self._groups[group] = None
        return group

    def _joinable(self, a: Group, b: Group) -> bool:
        """`b` reads what `a` computes."""
        if (a.anchored and b.anchored) or not a.shape or not b.shape:
            return False
        axes = a.axes or b.axes
        if (a.anchored or b.anchored) and axes:
            return False
        if a.axes and b.axes and a.axes != b.axes:
            return False
        if a.shape != b.shape and not self._is_reduced_part(a, b, axes):
            return False
        return not self._depends(b, a) and not self._depends(a, b)

    @staticmethod
    def _is_reduced_part(a: Group, b: Group, axes: tuple[int, ...]) -> bool:
        """Whether one is pointwise on the shape to which the other reduces."""
        whole, part = (a, b) if a.axes else (b, a)
        if not whole.axes or part.axes:
            return False
        return part.shape == tuple(1 if i in axes else n for i, n in enumerate(whole.shape))

    def _depends(self, group: Group, on: Group) -> bool:
        """Whether `group` needs a third group that needs `on`."""
        seen: set[Group] = set()
        stack = [self._owner[x] for x in group.inputs if x in self._owner]
        stack = [other for other in stack if other is not on and other is not group]
        while stack:
            other = stack.pop()
            if other is on:
                return True
            if other in seen or other.last < on.first:
                continue
            seen.add(other)
            stack.extend(self._owner[x] for x in other.inputs if x in self._owner)
        return False

    def _join(self, a: Group, b: Group) -> Group:
        """One group of both, in place of `a`."""
        whole = a if a.axes or not b.axes else b
        joined = Group(a.nodes + b.nodes, whole.shape, a.anchored or b.anchored, a.axes or b.axes)
        joined.first, joined.last = min(a.first, b.first), max(a.last, b.last)
        made = {tensor for node in joined.nodes for tensor in node.outputs}
        joined.inputs = (a.inputs | b.inputs) - made
        del self._groups[a], self._groups[b]
        self._groups[joined] = None
        self._owner.update(dict.fromkeys(made, joined))
        return joined


def _lower(group: Group, network: Network, readers: dict[Tensor, list[Node]]) -> list[Node]:
    """The group's nodes as one, with what aligns its inputs in front."""
    if not group.shape:
        return group.nodes
    nodes = sorted_nodes(group.nodes)
    anchor = next((n for n in nodes if not isinstance(n.op, ops.Pointwise | ops.Reduce)), None)
    return _Lowering(group, nodes, anchor, network, readers).run()


class _Lowering:
    """Numbers the values of a group and writes down its steps."""

    def __init__(
        self,
        group: Group,
        nodes: list[Node],
        anchor: Node | None,
        network: Network,
        readers: dict[Tensor, list[Node]],
    ) -> None:
        self._group = group
        self._anchor = anchor
        self._pointwise = [node for node in nodes if node is not anchor]
        self._aligning: list[Node] = []
        inside = set(map(id, nodes))
        self._results = [
            tensor
            for node in nodes
            for tensor in node.outputs
            if tensor in network.outputs or any(id(r) not in inside for r in readers.get(tensor, ()))
        ]

    def run(self) -> list[Node]:
        inputs: list[Tensor] = []
        shapes: list[Shape] = []
        numbers: dict[Tensor, int] = {}
        if self._anchor is not None:
            numbers[self._anchor.output] = 0
            shapes.append(self._group.shape)
        made = {node.output for node in self._pointwise}
        for tensor in dict.fromkeys(x for node in self._pointwise for x in node.inputs):
            if tensor not in made and tensor not in numbers and tensor.scalar is None:
                numbers[tensor] = len(shapes)
                inputs.append(self._aligned(tensor))
                shapes.append(inputs[-1].shape)
        steps: list[Step] = []
        for node in self._pointwise:
            for tensor in node.inputs:
                if tensor not in numbers:
                    assert tensor.scalar is not None
                    numbers[tensor] = len(shapes) + len(steps)
                    steps.append(Step("constant", (), (tensor.scalar,)))
            arguments = tuple(numbers[tensor] for tensor in node.inputs)
            numbers[node.output] = len(shapes) + len(steps)
            if isinstance(node.op, ops.Reduce):
                steps.append(Step(node.op.kind, arguments, axes=node.op.axes))
            else:
                steps.append(Step(node.op.name, arguments, node.op.parameters))
        program = Program(
            self._group.shape, tuple(shapes), tuple(steps), tuple(numbers[t] for t in self._results)
        )
        anchored = self._anchor.inputs if self._anchor is not None else ()
        op = Fused(self._anchor.op if self._anchor is not None else None, len(anchored), program)
        return [*self._aligning, Node(op, (*anchored, *inputs), tuple(self._results))]

    def _aligned(self, tensor: Tensor) -> Tensor:
        """The tensor with as many dimensions as the group's elements have."""
        missing = len(self._group.shape) - tensor.rank
        if missing == 0:
            return tensor
        shape = (1,) * missing + tensor.shape
        if tensor.data is not None:
            return Tensor.constant(tensor.data.reshape(shape))
        aligned = Tensor(shape, tensor.dtype)
        self._aligning.append(Node(ops.Reshape(), (tensor,), (aligned,)))
        return aligned
