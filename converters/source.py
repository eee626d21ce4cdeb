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
from onnx import helper, numpy_helper

from converters.request import ConversionError

Array = npt.NDArray[np.generic]


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
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    try:
        weights = {tensor.name: aligned(_array(tensor)) for tensor in model.graph.initializer}
    except (ValueError, TypeError) as error:
        raise ConversionError(f"{path.name} has a damaged initializer: {error}") from error
    graph = onnx.GraphProto()
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    for node in graph.node:
        node.domain = _domain(node.domain)
    graph.input.extend(value for value in model.graph.input if value.name not in weights)
    graph.output.extend(model.graph.output)
    opsets = {_domain(entry.domain): entry.version for entry in model.opset_import}
    source = Source(graph, opsets, model.ir_version, weights)
    _check(source, path)
    if model.graph.sparse_initializer:
        raise ConversionError("sparse initializers are not supported")
    return source


def _domain(name: str) -> str:
    """The standard operators' domain has two names."""
    return "" if name == "ai.onnx" else name


def _array(tensor: onnx.TensorProto) -> Array:
    return np.asarray(numpy_helper.to_array(tensor))


def _check(source: Source, path: Path) -> None:
    """ONNX's own checker on the graph with the weights as inputs.

    It wants a shape for every output, which many files do not give and nobody needs: each gets one.
    """
    graph = onnx.GraphProto()
    graph.CopyFrom(source.graph)
    for output in graph.output:
        if output.type.WhichOneof("value") == "tensor_type":
            output.type.tensor_type.shape.SetInParent()
    for name, array in source.weights.items():
        dtype = helper.np_dtype_to_tensor_dtype(array.dtype)
        graph.input.append(helper.make_tensor_value_info(name, dtype, array.shape))
    model = helper.make_model(graph, ir_version=source.ir_version)
    del model.opset_import[:]
    model.opset_import.extend(
        helper.make_opsetid(domain, version) for domain, version in source.opsets.items()
    )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ConversionError(f"{path.name} is not a valid model: {error}") from error


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
    for file in (path, *sorted(_external_files(path))):
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as stream:
            while chunk := stream.read(1 << 22):
                digest.update(chunk)
    return digest.hexdigest()


def _external_files(path: Path) -> set[Path]:
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
