"""`simple`: the sum and the difference of two integer vectors, as Triton's example of that name."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from scripts.models.graph import Graph


def build(name: str = "simple", dtype: int = TensorProto.INT32) -> onnx.ModelProto:
    """INPUT0, INPUT1: INT32 [batch, 16]. OUTPUT0 their sum, OUTPUT1 their difference."""
    graph = Graph(name)
    x = graph.input("INPUT0", ["batch", 16], dtype)
    y = graph.input("INPUT1", ["batch", 16], dtype)
    graph.output(graph.op("Add", x, y), "OUTPUT0", ["batch", 16], dtype)
    graph.output(graph.op("Sub", x, y), "OUTPUT1", ["batch", 16], dtype)
    return graph.model()


def build_int8() -> onnx.ModelProto:
    """The same of INT8."""
    return build("simple_int8", TensorProto.INT8)
