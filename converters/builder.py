"""Writes ONNX nodes that stand for one node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper

from converters.source import Array


@dataclass
class NodeBuilder:
    """Collects nodes and the constants they use. `prefix` makes their names unlike all others."""

    prefix: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def emit(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Appends a node with one output; the output's name."""
        return self.emit_as(f"{self.prefix}::{len(self.nodes)}", op, *inputs, **attributes)

    def emit_as(self, output: str, op: str, *inputs: str, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def constant(self, value: Array | np.generic) -> str:
        name = f"{self.prefix}::constant{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def reshape(self, value: str, shape: Sequence[int]) -> str:
        return self.emit("Reshape", value, self.constant(np.asarray(shape, np.int64)))

    def concat(self, values: Sequence[str], axis: int) -> str:
        return values[0] if len(values) == 1 else self.emit("Concat", *values, axis=axis)

    def pick(self, value: str, index: int, axis: int = 0) -> str:
        """The slice at one index of an axis, which is dropped."""
        return self.emit("Gather", value, self.constant(np.int64(index)), axis=axis)

    def cut(self, value: str, begin: int, end: int, axis: int) -> str:
        """The slice of an axis from `begin` to `end`. Needs opset 10."""
        bounds = (self.constant(np.asarray([number], np.int64)) for number in (begin, end, axis))
        return self.emit("Slice", value, *bounds)
