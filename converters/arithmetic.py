"""Gives integer operators a result for every input, so that no request can stop a worker.

A processor raises a fault on an integer division by zero, and on the one quotient that does not fit; what it
does with a shift by more than the width, ONNX does not leave open but C does. The inputs that matter are
those that clients send: nothing is added where an operand is constant and harmless.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import helper

from converters.source import Array


def with_total_arithmetic(
    nodes: Sequence[onnx.NodeProto], types: Mapping[str, onnx.TypeProto], constants: dict[str, Array]
) -> list[onnx.NodeProto]:
    """x / 0 is x, x mod 0 is 0; a shift by less than 0 or more than the width moves every bit out.

    `types` of the values known; `constants` gains what is compared with.
    """
    result = []
    for node in nodes:
        dtype = _integer(node, types)
        if dtype is None:
            result.append(node)
        elif node.op_type == "BitShift":
            result += _Rewriting(node, dtype, constants).shift()
        else:
            result += _Rewriting(node, dtype, constants).division()
    return result


def _integer(node: onnx.NodeProto, types: Mapping[str, onnx.TypeProto]) -> np.dtype[np.generic] | None:
    """The integer type that a division or shift works on."""
    if node.op_type not in ("Div", "Mod", "BitShift") or node.domain or node.input[1] not in types:
        return None
    dtype: np.dtype[np.generic] = helper.tensor_dtype_to_np_dtype(types[node.input[1]].tensor_type.elem_type)
    return dtype if dtype.kind in "iu" else None


class _Rewriting:
    """Makes the nodes that stand for one. Their results are named after its output."""

    def __init__(
        self, node: onnx.NodeProto, dtype: np.dtype[np.generic], constants: dict[str, Array]
    ) -> None:
        self._node = node
        self._dtype = dtype
        self._constants = constants
        self._nodes: list[onnx.NodeProto] = []

    def division(self) -> list[onnx.NodeProto]:
        dividend, divisor = self._node.input
        known = self._constants.get(divisor)
        if known is not None and not np.isin(known, (0, -1)).any():
            return [self._node]
        harmful = self._emit("Equal", divisor, self._constant(0))
        if self._dtype.kind == "u":
            return self._end(dividend, self._emit("Where", harmful, self._constant(1), divisor))
        negates = self._emit("Equal", divisor, self._constant(-1))
        harmful = self._emit("Or", harmful, negates)
        safe = self._emit("Where", harmful, self._constant(1), divisor)
        if self._node.op_type == "Mod":
            return self._end(dividend, safe)
        quotient = self._emit("Div", dividend, safe)
        return self._finish("Where", negates, self._emit("Neg", dividend), quotient)

    def shift(self) -> list[onnx.NodeProto]:
        value, amount = self._node.input
        width = self._dtype.itemsize * 8
        known = self._constants.get(amount)
        if known is not None and np.isin(known, np.arange(width)).all():
            return [self._node]
        valid = self._emit("Less", amount, self._constant(width))
        if self._dtype.kind == "i":
            valid = self._emit("And", valid, self._emit("Greater", amount, self._constant(-1)))
        to_the_right = any(attribute.s == b"RIGHT" for attribute in self._node.attribute)
        if to_the_right and self._dtype.kind == "i":
            return self._end(value, self._emit("Where", valid, amount, self._constant(width - 1)))
        safe = self._emit("Where", valid, amount, self._constant(0))
        shifted = f"{self._node.output[0]}::{len(self._nodes)}"
        inner = onnx.NodeProto()
        inner.CopyFrom(self._node)
        inner.input[:] = [value, safe]
        inner.output[:] = [shifted]
        self._nodes.append(inner)
        return self._finish("Where", valid, shifted, self._constant(0))

    def _constant(self, value: int) -> str:
        name = f"::{self._dtype}({value})"
        self._constants[name] = np.asarray(value, self._dtype)
        return name

    def _emit(self, op: str, *inputs: str) -> str:
        name = f"{self._node.output[0]}::{len(self._nodes)}"
        self._nodes.append(helper.make_node(op, inputs, [name]))
        return name

    def _finish(self, op: str, *inputs: str) -> list[onnx.NodeProto]:
        """The nodes, the last of which gives the output."""
        return [*self._nodes, helper.make_node(op, inputs, list(self._node.output))]

    def _end(self, *inputs: str) -> list[onnx.NodeProto]:
        """The nodes, ended by the operator itself on other inputs."""
        self._node.input[:] = inputs
        return [*self._nodes, self._node]
