"""One step of an LSTM, a GRU or an RNN, as in the ONNX operator documents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from converters.builder import NodeBuilder
from converters.source import Array


@dataclass(frozen=True)
class Cell:
    """What the steps of one direction share.

    `recurrence`: the state's weights, transposed, [hidden, gates * hidden]. `state_bias`: that part of the
    bias which a gate multiplies (GRU with linear_before_reset), [hidden], else "".
    """

    kind: str
    build: NodeBuilder
    hidden: int
    recurrence: str
    state_bias: str
    activations: Sequence[str]
    linear_before_reset: bool
    one: Array

    def step(self, projected: str, hidden: str, cell: str) -> tuple[str, str]:
        """The next state and cell. `projected`: the input's part of all gates, [batch, gates * hidden]."""
        if self.kind == "LSTM":
            return self._lstm(projected, hidden, cell)
        return (self._gru if self.kind == "GRU" else self._rnn)(projected, hidden), ""

    def _rnn(self, projected: str, hidden: str) -> str:
        return self._act(0, self._sum(projected, self._product(hidden)))

    def _lstm(self, projected: str, hidden: str, cell: str) -> tuple[str, str]:
        gates = self._sum(projected, self._product(hidden))
        i, o, f = (self._act(0, self._gate(gates, index)) for index in range(3))
        candidate = self._act(1, self._gate(gates, 3))
        cell = self._sum(self._times(f, cell), self._times(i, candidate))
        return self._times(o, self._act(2, cell)), cell

    def _gru(self, projected: str, hidden: str) -> str:
        split = 3 if self.linear_before_reset else 2
        product = self.build.emit("MatMul", hidden, self._columns(0, split))
        z, r = (self._act(0, self._sum(self._gate(projected, i), self._gate(product, i))) for i in range(2))
        if self.linear_before_reset:
            inner = self._gate(product, 2)
            inner = self._times(r, self._sum(inner, self.state_bias) if self.state_bias else inner)
        else:
            inner = self.build.emit("MatMul", self._times(r, hidden), self._columns(2, 3))
        candidate = self._act(1, self._sum(self._gate(projected, 2), inner))
        rest = self.build.emit("Sub", self.build.constant(self.one), z)
        return self._sum(self._times(rest, candidate), self._times(z, hidden))

    def _product(self, hidden: str) -> str:
        return self.build.emit("MatMul", hidden, self.recurrence)

    def _columns(self, first: int, end: int) -> str:
        return self.build.cut(self.recurrence, first * self.hidden, end * self.hidden, 1)

    def _gate(self, gates: str, index: int) -> str:
        return self.build.cut(gates, index * self.hidden, (index + 1) * self.hidden, 1)

    def _act(self, index: int, value: str) -> str:
        return self.build.emit(self.activations[index], value)

    def _sum(self, a: str, b: str) -> str:
        return self.build.emit("Add", a, b)

    def _times(self, a: str, b: str) -> str:
        return self.build.emit("Mul", a, b)
