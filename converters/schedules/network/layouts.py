"""What rewriters of layouts have in common: they go through a network and keep what they do not touch."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Array, Network, Node, Tensor


class Layouts(Builder):
    """Rewrites a network; a tensor of the old one exists in the new one plain, in a layout, or both.

    A method named after an operation, `_convolve` for ops.Convolve, rewrites its nodes, or returns False to
    have one kept.
    """

    def __init__(self, source: Network) -> None:
        super().__init__()
        self._source = source
        self._plain: dict[Tensor, Tensor] = {tensor: tensor for tensor in source.inputs}
        self._packed: dict[tuple[Tensor, Hashable], Tensor] = {}

    def run(self) -> Network:
        for node in self._source.nodes:
            handler = getattr(self, f"_{type(node.op).__name__.lower()}", None)
            if handler is None or not handler(node):
                self._keep(node)
        outputs = tuple(map(self.plain, self._source.outputs))
        return Network(self.nodes, self._source.inputs, outputs).pruned()

    def plain(self, tensor: Tensor) -> Tensor:
        """The tensor as it is in the source."""
        raise NotImplementedError

    def packed(self, constant: Tensor, how: Hashable, pack: Callable[[Array], Array]) -> Tensor:
        """A constant in another form, which nodes that share it share."""
        key = constant, how
        if key not in self._packed:
            assert constant.data is not None
            self._packed[key] = Tensor.constant(pack(constant.data))
        return self._packed[key]

    def _keep(self, node: Node) -> None:
        inputs = tuple(map(self.plain, node.inputs))
        self.nodes.append(Node(node.op, inputs, node.outputs))
        self._plain.update({tensor: tensor for tensor in node.outputs})
