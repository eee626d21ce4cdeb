"""Prepares a model for import: shapes fixed, everything computed that does not depend on the inputs.

One pass in topological order, so that a shape computed from shapes is known by the time it is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import helper, numpy_helper

from converters.affine import AffineFolding
from converters.arithmetic import with_total_arithmetic
from converters.bounds import index_limits, with_bounded_indices
from converters.evaluate import evaluate, is_pure
from converters.recurrent import GATES, unroll
from converters.request import ConversionError
from converters.reshapes import FIRST_OPSET, canonical_reshapes
from converters.source import Array, Source, aligned

# Values up to this many elements are shown to shape inference: they can be shapes, axes and pads.
SMALL = 256

_INFERENCE_ERRORS = (
    onnx.defs.SchemaError,
    onnx.shape_inference.InferenceError,
    onnx.checker.ValidationError,
    ValueError,
)


@dataclass(frozen=True)
class Prepared:
    """A graph whose inputs all have static shapes, of the nodes that the outputs depend on.

    `weights` are the values of the names in it that no node and no input gives. `index_limits`: what the
    values of an input that is used as indices must stay below.
    """

    graph: onnx.GraphProto
    opset: int
    weights: Mapping[str, Array]
    index_limits: Mapping[str, int]


def prepare(source: Source, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str]) -> Prepared:
    """Fixes the shapes of the inputs and simplifies: what is constant is computed; Identity, Dropout, a
    Cast to the type that is there and an If that is decided are gone; BatchNormalization is folded. `inputs`
    (with their shapes) and `outputs` are those wanted, in order."""
    pass_ = _Pass(source)
    for value in source.graph.input:
        pass_.types[value.name] = _tensor_type(value.type.tensor_type.elem_type, inputs[value.name])
    for node in source.graph.node:
        pass_.node(node)
    return pass_.finish(inputs, outputs)


def _tensor_type(elem_type: int, shape: tuple[int, ...]) -> onnx.TypeProto:
    return helper.make_tensor_type_proto(elem_type, shape)


@dataclass
class _Pass:
    source: Source
    types: dict[str, onnx.TypeProto] = field(default_factory=dict)
    constants: dict[str, Array] = field(default_factory=dict)
    renamed: dict[str, str] = field(default_factory=dict)
    nodes: list[onnx.NodeProto] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, array in self.source.weights.items():
            self.constant(name, array)

    @property
    def opset(self) -> int:
        return self.source.opsets.get("", 1)

    def constant(self, name: str, array: Array) -> None:
        self.constants[name] = array
        self.types[name] = _tensor_type(helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)

    def node(self, original: onnx.NodeProto) -> None:
        """Takes the next node: folds it, renames it away, or keeps it."""
        node = onnx.NodeProto()
        node.CopyFrom(original)
        node.input[:] = [self.renamed.get(name, name) for name in original.input]
        if node.op_type == "CastLike" and node.input[1] in self.types:
            _become_cast(node, self.types[node.input[1]].tensor_type.elem_type)
        if node.op_type == "If" and node.input[0] in self.constants:
            self._inline(node)
        elif _is_identity(node, self.constants, self.types):
            self.renamed[node.output[0]] = node.input[0]
        elif node.op_type in GATES and (shape := self._shape(node.input[0])) is not None:
            self._unroll(node, shape)
        elif (values := self._fold(node)) is not None:
            for name, array in zip(filter(None, node.output), values, strict=True):
                self.constant(name, array)
        else:
            self.nodes.append(node)
            self._infer(node)

    def _inline(self, node: onnx.NodeProto) -> None:
        """An If whose condition is known is the branch it takes."""
        taken = "then_branch" if bool(self.constants[node.input[0]].item()) else "else_branch"
        branch = next(attribute.g for attribute in node.attribute if attribute.name == taken)
        for tensor in branch.initializer:
            self.constant(tensor.name, aligned(np.asarray(numpy_helper.to_array(tensor))))
        for inner in branch.node:
            self.node(inner)
        for name, result in zip(node.output, branch.output, strict=True):
            self.renamed[name] = self.renamed.get(result.name, result.name)

    def _unroll(self, node: onnx.NodeProto, shape: tuple[int, ...]) -> None:
        dtype = helper.tensor_dtype_to_np_dtype(self.types[node.input[0]].tensor_type.elem_type)
        built = unroll(node, shape, dtype, self.constants)
        for name, array in built.constants.items():
            self.constant(name, aligned(array))
        for inner in built.nodes:
            self.node(inner)

    def _fold(self, node: onnx.NodeProto) -> list[Array] | None:
        """The node's outputs if they do not depend on the inputs."""
        if node.op_type in ("Shape", "Size") and (shape := self._shape(node.input[0])) is not None:
            return [_shape_value(node, shape)]
        if not is_pure(node) or any(name and name not in self.constants for name in node.input):
            return None
        values = evaluate(
            node, [self.constants[name] if name else None for name in node.input], self.source.opsets
        )
        return None if values is None else [aligned(value) for value in values]

    def _shape(self, name: str) -> tuple[int, ...] | None:
        tensor = self.types[name].tensor_type if name in self.types else None
        if tensor is None or not tensor.HasField("shape"):
            return None
        if not all(dim.HasField("dim_value") for dim in tensor.shape.dim):
            return None
        return tuple(dim.dim_value for dim in tensor.shape.dim)

    def _infer(self, node: onnx.NodeProto) -> None:
        """Types of the node's outputs, as far as ONNX can tell them."""
        if any(name and name not in self.types for name in node.input):
            return
        try:
            schema = onnx.defs.get_schema(node.op_type, self.source.opsets.get(node.domain, 1), node.domain)
            self.types.update(
                onnx.shape_inference.infer_node_outputs(
                    schema,
                    node,
                    {name: self.types[name] for name in node.input if name},
                    {
                        name: numpy_helper.from_array(self.constants[name], name)
                        for name in node.input
                        if name in self.constants and self.constants[name].size <= SMALL
                    },
                    opset_imports=[helper.make_opsetid(d, v) for d, v in self.source.opsets.items()],
                    ir_version=self.source.ir_version,
                )
            )
        except _INFERENCE_ERRORS:
            return

    def finish(self, inputs: Mapping[str, tuple[int, ...]], outputs: Sequence[str]) -> Prepared:
        declared = {value.name: value for value in self.source.graph.output}
        nodes = list(self.nodes)
        for name in outputs:
            if name in self.renamed:
                nodes.append(helper.make_node("Identity", [self.renamed[name]], [name]))
        shapes = {name: shape for name in self.types if (shape := self._shape(name)) is not None}
        nodes = needed(nodes, outputs)
        if self.opset >= FIRST_OPSET:
            nodes = needed(canonical_reshapes(nodes, shapes, self.constants), outputs)
        nodes = AffineFolding(shapes, self.constants, outputs).run(nodes)
        limits = index_limits(nodes, self.types, inputs.keys())
        nodes = with_bounded_indices(nodes, self.types, self.constants)
        nodes = with_total_arithmetic(nodes, self.types, self.constants)
        used = {name for node in nodes for name in node.input} | set(outputs)
        graph = onnx.GraphProto(name=self.source.graph.name)
        graph.node.extend(nodes)
        graph.input.extend(helper.make_value_info(name, self.types[name]) for name in inputs)
        graph.output.extend(declared[name] for name in outputs)
        weights = {name: array for name, array in self.constants.items() if name in used}
        return Prepared(graph, self.opset, weights, limits)


def needed(nodes: list[onnx.NodeProto], outputs: Sequence[str]) -> list[onnx.NodeProto]:
    """Those that the outputs depend on, in order."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]


def _is_identity(
    node: onnx.NodeProto, constants: Mapping[str, Array], types: Mapping[str, onnx.TypeProto]
) -> bool:
    """Whether the node's only result is its first input."""
    if node.op_type == "Identity":
        return True
    if node.op_type == "Cast" and node.input[0] in types:
        return _cast_to(node) == int(types[node.input[0]].tensor_type.elem_type)
    if node.op_type != "Dropout" or any(node.output[1:]):
        return False
    if len(node.input) > 2 and node.input[2]:
        training = constants.get(node.input[2])
        if training is None or bool(training.item()):
            raise ConversionError(f"Dropout '{node.name}' is in training mode, which is random")
    return True


def _cast_to(node: onnx.NodeProto) -> int:
    """The type that a Cast makes; 0 where it is told in a way of old."""
    return next((attribute.i for attribute in node.attribute if attribute.name == "to"), 0)


def _become_cast(node: onnx.NodeProto, elem_type: int) -> None:
    """A CastLike whose type is known depends on its first input only."""
    node.op_type = "Cast"
    del node.input[1:]
    node.attribute.append(helper.make_attribute("to", elem_type))


def _shape_value(node: onnx.NodeProto, shape: tuple[int, ...]) -> Array:
    if node.op_type == "Size":
        return np.asarray(np.prod(shape, dtype=np.int64))
    bounds = {attribute.name: attribute.i for attribute in node.attribute}
    return np.asarray(shape[slice(bounds.get("start"), bounds.get("end"))], np.int64)
