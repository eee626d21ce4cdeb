"""Folds per-channel scales and shifts: BatchNormalization, and Mul, Add, Sub, Div by constants.

After a convolution with constant weights they go into its weights and bias. A BatchNormalization elsewhere
becomes one Mul and one Add, into which those that follow it are merged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import onnx
from onnx import helper

from converters.source import Array, aligned

Vector = npt.NDArray[np.float64]  # also of more dimensions, where it is a folded weight


@dataclass(frozen=True)
class Affine:
    """`output` = `source` * scale + shift along axis 1; both vectors have a value for each channel."""

    source: str
    output: str
    scale: Vector
    shift: Vector
    dtype: np.dtype[np.generic]
    normalizes: bool


@dataclass
class AffineFolding:
    """`shapes` of the values that have a static one; `constants` gains the folded weights; `kept` names
    must stay computed (the graph's outputs)."""

    shapes: Mapping[str, tuple[int, ...]]
    constants: dict[str, Array]
    kept: Sequence[str]
    _items: dict[str, onnx.NodeProto | Affine] = field(default_factory=dict)

    def run(self, nodes: Sequence[onnx.NodeProto]) -> list[onnx.NodeProto]:
        uses = Counter(name for node in nodes for name in node.input)
        uses.update(self.kept)
        for node in nodes:
            affine = self._affine(node)
            # Every node has a named output of its own, which keys it and keeps the order.
            key = next(name for name in node.output if name)
            producer = self._items.get(affine.source) if affine and uses[affine.source] == 1 else None
            if affine and isinstance(producer, Affine):
                del self._items[producer.output]
                self._items[key] = _merge(producer, affine)
            elif affine and isinstance(producer, onnx.NodeProto) and self._foldable(producer):
                del self._items[affine.source]
                self._items[key] = self._fold(producer, affine)
            else:
                self._items[key] = affine if affine and affine.normalizes else node
        return [
            node
            for item in self._items.values()
            for node in (self._emit(item) if isinstance(item, Affine) else (item,))
        ]

    def _affine(self, node: onnx.NodeProto) -> Affine | None:
        """The node as a scale and shift of one of its inputs, if it is that."""
        if node.op_type == "BatchNormalization":
            return self._normalization(node)
        if node.op_type not in ("Mul", "Add", "Sub", "Div") or len(node.input) != 2:
            return None
        source, other = node.input
        if other not in self.constants and node.op_type in ("Mul", "Add"):
            source, other = other, source
        vector = self._per_channel(source, other)
        if vector is None:
            return None
        one, zero = np.ones_like(vector), np.zeros_like(vector)
        scale, shift = {
            "Mul": (vector, zero),
            "Div": (1 / np.where(vector == 0, np.nan, vector), zero),
            "Add": (one, vector),
            "Sub": (one, -vector),
        }[node.op_type]
        if not (np.isfinite(scale).all() and np.isfinite(shift).all()):
            return None
        return Affine(source, node.output[0], scale, shift, self.constants[other].dtype, normalizes=False)

    def _normalization(self, node: onnx.NodeProto) -> Affine | None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        rank = len(self.shapes.get(node.input[0], ()))
        constant = all(name in self.constants for name in node.input[1:5])
        trains = attributes.get("training_mode") or not attributes.get("spatial", 1) or any(node.output[1:])
        if not constant or rank < 2 or trains:
            return None
        gamma, beta, mean, variance = (self.constants[name].astype(np.float64) for name in node.input[1:5])
        scale = gamma / np.sqrt(variance + attributes.get("epsilon", 1e-5))
        dtype = self.constants[node.input[1]].dtype
        return Affine(node.input[0], node.output[0], scale, beta - mean * scale, dtype, normalizes=True)

    def _per_channel(self, source: str, constant: str) -> Vector | None:
        """A constant's value for each channel of `source`, if it is the same everywhere in a channel."""
        shape = self.shapes.get(source, ())
        array = self.constants.get(constant)
        if array is None or source in self.constants or len(shape) < 3 or array.ndim > len(shape):
            return None
        if array.dtype.kind != "f":
            return None
        full = (1,) * (len(shape) - array.ndim) + array.shape
        if any(size != 1 for axis, size in enumerate(full) if axis != 1) or full[1] not in (1, shape[1]):
            return None
        values: Vector = np.empty(shape[1], np.float64)
        values[:] = array.reshape(-1)
        return values

    def _foldable(self, node: onnx.NodeProto) -> bool:
        return node.op_type == "Conv" and all(name in self.constants for name in node.input[1:] if name)

    def _fold(self, node: onnx.NodeProto, affine: Affine) -> onnx.NodeProto:
        weight = self.constants[node.input[1]]
        has_bias = len(node.input) > 2 and node.input[2]
        bias = self.constants[node.input[2]].astype(np.float64) if has_bias else np.zeros_like(affine.shift)
        scale = affine.scale.reshape(-1, *([1] * (weight.ndim - 1)))
        folded = onnx.NodeProto()
        folded.CopyFrom(node)
        folded.output[0] = affine.output
        folded.input[:] = [
            node.input[0],
            self._constant(affine.output, "weight", weight.astype(np.float64) * scale, weight.dtype),
            self._constant(affine.output, "bias", bias * affine.scale + affine.shift, weight.dtype),
        ]
        return folded

    def _emit(self, affine: Affine) -> list[onnx.NodeProto]:
        """The Mul and Add of an affine step, without those that would change nothing."""
        column = (-1,) + (1,) * (len(self.shapes[affine.source]) - 2)
        nodes = []
        current = affine.source
        for op, vector, neutral in (("Mul", affine.scale, 1.0), ("Add", affine.shift, 0.0)):
            if not (vector == neutral).all():
                constant = self._constant(affine.output, op, vector.reshape(column), affine.dtype)
                result = f"{constant}::result"
                nodes.append(helper.make_node(op, [current, constant], [result]))
                current = result
        if not nodes:
            return [helper.make_node("Identity", [affine.source], [affine.output])]
        nodes[-1].output[0] = affine.output
        return nodes

    def _constant(self, output: str, role: str, value: Vector, dtype: np.dtype[np.generic]) -> str:
        name = f"{output}::{role}"
        while name in self.constants:
            name += "'"
        self.constants[name] = aligned(np.asarray(value, dtype))
        return name


def _merge(first: Affine, then: Affine) -> Affine:
    return Affine(
        first.source,
        then.output,
        first.scale * then.scale,
        first.shift * then.scale + then.shift,
        first.dtype,
        first.normalizes or then.normalizes,
    )
