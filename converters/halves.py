"""Networks of halves (float16, bfloat16) as networks of float32 between inputs and outputs of halves.

Every half is a float32, so weights and inputs stay what they are, and every result in between is at least as
precise as in halves. What is lost is the rounding itself: a Cast to halves inside a network rounds nothing,
and no sum in between overflows at 65,504.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from converters.source import Array, Source, aligned

HALVES = {TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16"}

# The attributes by which operators name the type of their results, or of what they compute in between.
_TYPES = {"dtype", "output_datatype", "output_dtype", "precision", "softmax_precision", "stash_type", "to"}


def widened(source: Source) -> tuple[Source, frozenset[str]]:
    """The model with its inputs widened to float32 in front, and its outputs rounded to halves at the end;
    and which halves there were. Names, shapes and types of inputs and outputs stay. A model without halves is
    returned as it is."""
    widening = _Widening(source)
    graph = widening.graph()
    found = frozenset(widening.found)
    if not found:
        return source, found
    weights = {widening.name(name): widening.array(array) for name, array in source.weights.items()}
    return replace(source, graph=graph, weights=weights), found


@dataclass
class _Widening:
    source: Source
    found: set[str] = field(default_factory=set)
    """The types that were replaced."""
    renamed: dict[str, str] = field(default_factory=dict)
    """By inputs and outputs that are halves: the same in float32."""

    def graph(self) -> onnx.GraphProto:
        """The main graph; `found` and `renamed` are complete after it."""
        old = self.source.graph
        for value in (*old.input, *old.output):
            if value.type.tensor_type.elem_type in HALVES:
                self.renamed[value.name] = f"{value.name}::wide"
        inputs = {value.name for value in old.input}
        graph = onnx.GraphProto(name=old.name, input=old.input, output=old.output)
        graph.node.extend(
            self._cast(name, self.name(name), TensorProto.FLOAT) for name in self._halves(old.input)
        )
        graph.node.extend(map(self._node, old.node))
        for name, kind in self._halves(old.output).items():
            if name not in inputs:
                graph.node.append(self._cast(self.name(name), name, kind))
        for array in self.source.weights.values():
            self._note(helper.np_dtype_to_tensor_dtype(array.dtype))
        return graph

    def name(self, name: str) -> str:
        return self.renamed.get(name, name)

    def array(self, array: Array) -> Array:
        if helper.np_dtype_to_tensor_dtype(array.dtype) not in HALVES:
            return array
        return aligned(array.astype(np.float32))

    def _halves(self, values: Iterable[onnx.ValueInfoProto]) -> Mapping[str, int]:
        """The types of those that are halves, by name."""
        kinds = {value.name: value.type.tensor_type.elem_type for value in values}
        return {name: kind for name, kind in kinds.items() if self._note(kind)}

    def _note(self, kind: int) -> bool:
        """Whether a type is a half."""
        if kind in HALVES:
            self.found.add(HALVES[kind])
        return kind in HALVES

    @staticmethod
    def _cast(name: str, to: str, kind: int) -> onnx.NodeProto:
        return helper.make_node("Cast", [name], [to], name=f"{to}::cast", to=kind)

    def _node(self, old: onnx.NodeProto) -> onnx.NodeProto:
        node = onnx.NodeProto()
        node.CopyFrom(old)
        node.input[:] = map(self.name, old.input)
        node.output[:] = map(self.name, old.output)
        for attribute in node.attribute:
            self._attribute(attribute)
        return node

    def _attribute(self, attribute: onnx.AttributeProto) -> None:
        if attribute.type == onnx.AttributeProto.INT:
            if attribute.name in _TYPES and self._note(attribute.i):
                attribute.i = TensorProto.FLOAT
        elif attribute.type == onnx.AttributeProto.TENSOR:
            self._tensor(attribute.t)
        elif attribute.type == onnx.AttributeProto.GRAPH:
            self._subgraph(attribute.g)

    def _tensor(self, tensor: onnx.TensorProto) -> None:
        if self._note(tensor.data_type):
            values = numpy_helper.to_array(tensor).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))

    def _subgraph(self, graph: onnx.GraphProto) -> None:
        """A branch's names are its own, or those of the graph around it."""
        for tensor in graph.initializer:
            self._tensor(tensor)
        nodes = list(map(self._node, graph.node))
        del graph.node[:]
        graph.node.extend(nodes)
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.name = self.name(value.name)
            if self._note(value.type.tensor_type.elem_type):
                value.type.tensor_type.elem_type = TensorProto.FLOAT
