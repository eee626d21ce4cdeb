"""Networks of halves (float16, bfloat16) as networks of float32 between inputs and outputs of halves.

Every half is a float32, so weights and inputs stay what they are, and every result in between is at least as
precise as in halves. What is lost is the rounding of results in between, and no sum in between overflows at
65,504. A Cast of something else to float16 still rounds; one to bfloat16 does not, for TVM computes what is
bfloat16 in float32.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
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
    kinds: dict[str, int] = field(default_factory=dict)
    """The types of values, as far as they are known, where there is a Cast to halves."""
    renamed: dict[str, str] = field(default_factory=dict)
    """By inputs and outputs that are halves: the same in float32."""

    def graph(self) -> onnx.GraphProto:
        """The main graph; `found` and `renamed` are complete after it."""
        old = self.source.graph
        for value in (*old.input, *old.output):
            if value.type.tensor_type.elem_type in HALVES:
                self.renamed[value.name] = f"{value.name}::wide"
        if any(node.op_type == "Cast" for node in old.node):
            self.kinds = _kinds(self.source)
        inputs = {value.name for value in old.input}
        graph = onnx.GraphProto(name=old.name, input=old.input, output=old.output)
        graph.node.extend(
            self._cast(name, self.name(name), TensorProto.FLOAT) for name in self._halves(old.input)
        )
        graph.node.extend(self._nodes(old.node))
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

    def _nodes(self, old: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
        for node in old:
            kind = next((a.i for a in node.attribute if a.name == "to"), 0) if node.op_type == "Cast" else 0
            if kind == TensorProto.FLOAT16 and self.kinds.get(node.input[0]) != kind:
                yield from self._rounding(node, kind)
            else:
                yield self._node(node)

    def _rounding(self, old: onnx.NodeProto, kind: int) -> Iterator[onnx.NodeProto]:
        """A Cast of something else to float16: to float32, rounded, and float32 again."""
        self._note(kind)
        source, result = self.name(old.input[0]), self.name(old.output[0])
        yield self._cast(source, f"{result}::float", TensorProto.FLOAT)
        yield self._cast(f"{result}::float", f"{result}::half", kind)
        yield self._cast(f"{result}::half", result, TensorProto.FLOAT)

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
        nodes = list(self._nodes(graph.node))
        del graph.node[:]
        graph.node.extend(nodes)
        for value in (*graph.input, *graph.output, *graph.value_info):
            value.name = self.name(value.name)
            if self._note(value.type.tensor_type.elem_type):
                value.type.tensor_type.elem_type = TensorProto.FLOAT


def _kinds(source: Source) -> dict[str, int]:
    """The types of the values of the main graph, as far as inference tells them."""
    graph = onnx.GraphProto()
    graph.CopyFrom(source.graph)
    for name, array in source.weights.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    opsets = [helper.make_opsetid(domain, version) for domain, version in source.opsets.items()]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=source.ir_version)
    # Without it, that much can be told.
    with suppress(onnx.shape_inference.InferenceError):
        graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.input, *graph.output, *graph.value_info)
    return {value.name: value.type.tensor_type.elem_type for value in values}
