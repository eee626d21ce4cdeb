"""Unrolls LSTM, GRU and RNN over their fixed length, since TVM has none of them.

The input's part of all gates is one product over all steps; a step is then a product with the state and
elementwise work. Every step runs the same kernels on other tensors, so a long sequence is a long program and
little code.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper

from converters.builder import NodeBuilder
from converters.cells import Cell
from converters.request import ConversionError
from converters.source import Array

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
_DEFAULTS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}
_WITHOUT_PARAMETERS = {"Relu", "Sigmoid", "Softplus", "Softsign", "Tanh"}
_DIRECTIONS = {b"forward": (False,), b"reverse": (True,), b"bidirectional": (False, True)}


def unroll(
    node: onnx.NodeProto, shape: tuple[int, ...], dtype: np.dtype[np.generic], known: Mapping[str, Array]
) -> NodeBuilder:
    """Nodes that compute the layer's outputs. Needs opset 10.

    `shape` and `dtype` are those of the first input. ConversionError for options that are rare and not done:
    peepholes, clipping, coupled gates, sequences shorter than the input.
    """
    layer = _Layer(node, shape, dtype, known)
    layer.run()
    return layer.build


class _Layer:
    def __init__(
        self,
        node: onnx.NodeProto,
        shape: tuple[int, ...],
        dtype: np.dtype[np.generic],
        known: Mapping[str, Array],
    ) -> None:
        self.node = node
        self.kind = node.op_type
        self.dtype = dtype
        self.known = known
        self.build = NodeBuilder(next(name for name in node.output if name))
        self.options = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.batch_first = bool(self.options.get("layout", 0))
        self.batch, self.steps = shape[:2] if self.batch_first else shape[1::-1]
        self.features = shape[2]
        self.hidden = int(self.options["hidden_size"])
        self.directions = _DIRECTIONS[self.options.get("direction", b"forward")]
        self._refuse_rarities()

    def run(self) -> None:
        build = self.build
        x = self.node.input[0]
        if self.batch_first:
            x = build.emit("Transpose", x, perm=[1, 0, 2])
        flat = build.reshape(x, (self.steps * self.batch, self.features))
        results = zip(
            *(self._direction(index, backwards, flat) for index, backwards in enumerate(self.directions)),
            strict=True,
        )
        for output, parts, axis, batch_first in zip(
            self.node.output, results, (1, 0, 0), ([2, 0, 1, 3], [1, 0, 2], [1, 0, 2]), strict=False
        ):
            if output:
                joined = build.concat(parts, axis)
                order = batch_first if self.batch_first else sorted(batch_first)
                build.emit_as(output, "Transpose", joined, perm=order)

    def _direction(self, index: int, backwards: bool, flat: str) -> tuple[str, str, str]:
        """Every state [steps, 1, batch, hidden], the last one and the last cell [1, batch, hidden]."""
        build = self.build
        weight, recurrence = (
            build.emit("Transpose", build.pick(self.node.input[i], index), perm=[1, 0]) for i in (1, 2)
        )
        input_bias, state_bias = self._biases(index)
        projected = build.emit("MatMul", flat, weight)
        if input_bias:
            projected = build.emit("Add", projected, input_bias)
        projected = build.reshape(projected, (self.steps, self.batch, GATES[self.kind] * self.hidden))
        cell = Cell(
            self.kind,
            build,
            self.hidden,
            recurrence,
            state_bias,
            self._activations(index),
            self.linear_before_reset,
            np.asarray(1, self.dtype),
        )
        hidden, memory = self._initial(5, index), self._initial(6, index)
        states = [""] * self.steps
        for time in range(self.steps)[:: -1 if backwards else 1]:
            hidden, memory = cell.step(build.pick(projected, time), hidden, memory)
            states[time] = build.reshape(hidden, (1, 1, self.batch, self.hidden))
        last = (1, self.batch, self.hidden)
        every = build.concat(states, 0)
        return every, build.reshape(hidden, last), build.reshape(memory, last) if memory else ""

    @property
    def linear_before_reset(self) -> bool:
        return bool(self.options.get("linear_before_reset", 0))

    def _input(self, position: int) -> str:
        return self.node.input[position] if position < len(self.node.input) else ""

    def _biases(self, index: int) -> tuple[str, str]:
        """The bias that is added to the input's part, and the one that a GRU's reset gate multiplies."""
        name = self._input(3)
        if not name:
            return "", ""
        size = GATES[self.kind] * self.hidden
        both = self.build.pick(name, index)
        of_input, of_state = (self.build.cut(both, begin, begin + size, 0) for begin in (0, size))
        if not (self.kind == "GRU" and self.linear_before_reset):
            return self.build.emit("Add", of_input, of_state), ""
        inner = self.build.cut(of_state, 2 * self.hidden, size, 0)
        outer = self.build.cut(of_state, 0, 2 * self.hidden, 0)
        nothing = self.build.constant(np.zeros(self.hidden, self.dtype))
        return self.build.emit("Add", of_input, self.build.concat([outer, nothing], 0)), inner

    def _initial(self, position: int, index: int) -> str:
        """The state or cell before the first step, [batch, hidden]."""
        if position == 6 and self.kind != "LSTM":
            return ""
        name = self._input(position)
        if not name:
            return self.build.constant(np.zeros((self.batch, self.hidden), self.dtype))
        return self.build.pick(name, index, axis=1 if self.batch_first else 0)

    def _activations(self, index: int) -> tuple[str, ...]:
        defaults = _DEFAULTS[self.kind]
        given = [name.decode().capitalize() for name in self.options.get("activations", ())]
        chosen = tuple(given[index * len(defaults) : (index + 1) * len(defaults)]) or defaults
        for name in chosen:
            if name not in _WITHOUT_PARAMETERS:
                raise self._refusal(f"activation {name}")
        return chosen

    def _refuse_rarities(self) -> None:
        if self.options.get("clip"):
            raise self._refusal("clip")
        if self.options.get("input_forget"):
            raise self._refusal("input_forget")
        if self._input(7):
            raise self._refusal("peephole connections")
        lengths = self._input(4)
        if lengths and not (lengths in self.known and (self.known[lengths] == self.steps).all()):
            raise self._refusal("sequences shorter than the input")

    def _refusal(self, what: str) -> ConversionError:
        return ConversionError(f"operator {self.kind} ('{self.node.name}'): {what} is not supported")
