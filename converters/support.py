"""Refuses, before TVM sees it, what cannot become kernels on fixed memory, and names it."""

from __future__ import annotations

from collections.abc import Container, Iterable

import onnx

from converters.request import ConversionError

# com.microsoft: operators that ONNX Runtime's optimizer writes into files, of which TVM imports several.
DOMAINS = ("", "com.microsoft")

# Their outputs' sizes follow from the values of their inputs.
_DATA_DEPENDENT = {"Compress", "NonMaxSuppression", "NonZero", "Unique"}
_CONTROL_FLOW = {"If", "Loop", "Scan"}


def check_tensors(graph: onnx.GraphProto) -> None:
    """Inputs and outputs must be tensors of numbers or booleans."""
    for value in (*graph.input, *graph.output):
        kind = value.type.WhichOneof("value")
        if kind not in ("tensor_type", None):
            raise ConversionError(f"'{value.name}' is of {kind}: only tensors can be served")
        if value.type.tensor_type.elem_type == onnx.TensorProto.STRING:
            raise ConversionError(f"'{value.name}' holds strings, which compiled kernels cannot process")


def check_operators(nodes: Iterable[onnx.NodeProto], importable: Container[str]) -> None:
    """`importable` are the operators that TVM's importer knows."""
    missing = set()
    for node in nodes:
        kind = f"{node.domain}.{node.op_type}" if node.domain not in DOMAINS else node.op_type
        label = f"operator {kind}" + (f" ('{node.name}')" if node.name else "")
        if node.op_type in _DATA_DEPENDENT and node.domain in DOMAINS:
            raise ConversionError(f"{label}: the shape of its output depends on the values of its input")
        if node.op_type in _CONTROL_FLOW:
            raise ConversionError(f"{label}: control flow that depends on the inputs is not supported")
        if node.domain not in DOMAINS or node.op_type not in importable:
            missing.add(kind)
    if missing:
        names = ", ".join(sorted(missing))
        raise ConversionError(f"the model uses operators that are not supported: {names}")
