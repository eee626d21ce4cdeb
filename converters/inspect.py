"""Reads the declared inputs and outputs of an ONNX file."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx import helper

from clockwork_triton.artifact.signature import Signature, SignatureTensor
from converters.request import ConversionError
from converters.shapes import declared_dims
from converters.source import read_model


def inspect(path: Path) -> Signature:
    """The signature; initializers that are listed as inputs, as old files do, are none.

    ConversionError where the file cannot be read, or has a tensor that no client can send.
    """
    graph = read_model(path, weights=False).graph
    initializers = {tensor.name for tensor in graph.initializer}
    return Signature(
        tuple(_tensor(value) for value in graph.input if value.name not in initializers),
        tuple(_tensor(value) for value in graph.output),
    )


def _tensor(value: onnx.ValueInfoProto) -> SignatureTensor:
    kind = value.type.WhichOneof("value")
    if kind != "tensor_type":
        raise ConversionError(f"'{value.name}' is of {kind or 'no type'}: only tensors can be served")
    dims = declared_dims(value)
    shape = None if dims is None else tuple(dim if isinstance(dim, int) else -1 for dim in dims)
    return SignatureTensor(value.name, dtype_name(value.name, value.type.tensor_type.elem_type), shape)


def dtype_name(name: str, elem_type: int) -> str:
    """The numpy name of an ONNX element type, "object" for strings."""
    if elem_type == onnx.TensorProto.STRING:
        return "object"
    if elem_type == onnx.TensorProto.UNDEFINED or elem_type not in onnx.TensorProto.DataType.values():
        raise ConversionError(f"'{name}' has no element type that can be served")
    return str(helper.tensor_dtype_to_np_dtype(elem_type))
