"""Reads an ONNX file: its graph without the weights, and the weights as arrays."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, inliner, numpy_helper

from converters.request import ConversionError

Array = npt.NDArray[np.generic]

# Operators that ONNX defines by others, and that TVM lacks or reads as something else (its Attention is
# com.microsoft's).
EXPANDED = frozenset(
    {
        "AffineGrid",
        "Attention",
        "BlackmanWindow",
        "CausalConvWithState",
        "Celu",
        "CenterCropPad",
        "HammingWindow",
        "HannWindow",
        "LinearAttention",
        "NegativeLogLikelihoodLoss",
        "RotaryEmbedding",
        "SoftmaxCrossEntropyLoss",
        "SwiGLU",
        "Swish",
    }
)


@dataclass(frozen=True)
class Source:
    """A model whose initializers were taken out of the graph (functions inlined, nothing else changed).

    `opsets` by domain; that of the standard operators is "". The arrays are contiguous and begin at
    multiples of 64.
    """

    graph: onnx.GraphProto
    opsets: Mapping[str, int]
    ir_version: int
    weights: Mapping[str, Array]


def read_model(path: Path, *, weights: bool = True) -> onnx.ModelProto:
    """Parses the file, with its external data unless `weights` is false. ConversionError if it is none."""
    try:
        model = onnx.load(path, load_external_data=weights)
    except DecodeError as error:
        raise ConversionError(f"{path.name} is not an ONNX file, or was cut short") from error
    except (OSError, ValueError, onnx.checker.ValidationError) as error:
        raise ConversionError(f"cannot read {path.name}: {error}") from error
    if not model.graph.node and not model.graph.output:
        raise ConversionError(f"{path.name} is not an ONNX file: it has no graph")
    return model


def read_source(path: Path) -> Source:
    """Reads and validates a model."""
    model = read_model(path)
    if model.graph.sparse_initializer:
        raise ConversionError("sparse initializers are not supported")
    try:
        weights = {tensor.name: aligned(_array(tensor)) for tensor in model.graph.initializer}
    except (ValueError, TypeError) as error:
        raise ConversionError(f"{path.name} has a damaged initializer: {error}") from error
    skeleton = _skeleton(model, weights)
    del model
    try:
        onnx.checker.check_model(skeleton)
        skeleton = _inlined(skeleton)
    except (onnx.checker.ValidationError, RuntimeError) as error:
        raise ConversionError(f"{path.name} is not a valid model: {error}") from error
    inputs = [value for value in skeleton.graph.input if value.name not in weights]
    del skeleton.graph.input[:]
    skeleton.graph.input.extend(inputs)
    for node in skeleton.graph.node:
        node.domain = _domain(node.domain)
    opsets = {_domain(entry.domain): entry.version for entry in skeleton.opset_import}
    return Source(skeleton.graph, opsets, skeleton.ir_version, weights)


def _skeleton(model: onnx.ModelProto, weights: Mapping[str, Array]) -> onnx.ModelProto:
    """The model with its weights as inputs, so that ONNX's tools handle it whatever its size.

    The checker wants a shape for every output, which many files do not give and nobody needs: each gets one.
    """
    skeleton = onnx.ModelProto(ir_version=model.ir_version)
    skeleton.opset_import.extend(model.opset_import)
    skeleton.functions.extend(model.functions)
    graph = skeleton.graph
    graph.name = model.graph.name or "graph"
    graph.node.extend(model.graph.node)
    graph.input.extend(value for value in model.graph.input if value.name not in weights)
    for name, array in weights.items():
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(helper.make_tensor_value_info(name, dtype, array.shape))
    graph.output.extend(model.graph.output)
    for output in graph.output:
        if output.type.WhichOneof("value") == "tensor_type":
            output.type.tensor_type.shape.SetInParent()
    return skeleton


def _inlined(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without calls of its own functions and of those operators that are better expanded."""
    local = [(function.domain, function.name) for function in model.functions]
    expanded = [node for node in model.graph.node if node.op_type in EXPANDED and _domain(node.domain) == ""]
    for node in expanded:
        _spell_out_defaults(node, model)
    if local:
        model = inliner.inline_local_functions(model)
    if not expanded:
        return model
    try:
        names = [("", name) for name in sorted(EXPANDED)]
        return inliner.inline_selected_functions(model, names, inline_schema_functions=True)
    except RuntimeError:  # it cannot expand every use of them, which are then refused by name
        return model


def _spell_out_defaults(node: onnx.NodeProto, model: onnx.ModelProto) -> None:
    """Gives the node the attributes it leaves to their defaults: the inliner loses those."""
    version = max((entry.version for entry in model.opset_import if _domain(entry.domain) == ""), default=1)
    try:
        schema = onnx.defs.get_schema(node.op_type, version, "")
    except onnx.defs.SchemaError:
        return
    given = {attribute.name for attribute in node.attribute}
    for name, attribute in schema.attributes.items():
        if name not in given and attribute.default_value.type != onnx.AttributeProto.UNDEFINED:
            node.attribute.append(attribute.default_value)


def _domain(name: str) -> str:
    """The standard operators' domain has two names."""
    return "" if name == "ai.onnx" else name


def _array(tensor: onnx.TensorProto) -> Array:
    return np.asarray(numpy_helper.to_array(tensor))


def aligned(array: Array) -> Array:
    """The array itself if it is contiguous and begins at a multiple of 64, else such a copy.

    Compiled kernels read with aligned vector instructions.
    """
    if array.flags.c_contiguous and array.ctypes.data % 64 == 0:
        return array
    memory = np.empty(array.nbytes + 64, np.uint8)
    begin = -memory.ctypes.data % 64
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def hash_files(path: Path) -> str:
    """SHA-256 over the ONNX file and the external data files it names, in a fixed order."""
    digest = hashlib.sha256()
    for file in (path, *sorted(external_files(path))):
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def external_files(path: Path) -> set[Path]:
    """The files beside an ONNX file that hold its weights. ConversionError where one is not there."""
    model = read_model(path, weights=False)
    names = {
        entry.value
        for tensor in _tensors(model.graph)
        if tensor.data_location == onnx.TensorProto.EXTERNAL
        for entry in tensor.external_data
        if entry.key == "location"
    }
    files = {path.parent / name for name in names}
    for file in files:
        if not file.resolve().is_relative_to(path.parent.resolve()) or not file.is_file():
            raise ConversionError(f"{path.name} keeps weights in '{file.name}', which is not beside it")
    return files


def _tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Every tensor a graph holds: initializers and attributes, subgraphs included."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for subgraph in (*attribute.graphs, *((attribute.g,) if attribute.HasField("g") else ())):
                yield from _tensors(subgraph)
