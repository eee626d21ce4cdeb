"""`simple`: the sum and the difference of two integer vectors, as Triton's example of that name."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from scripts.models.graph import Graph


def build() -> onnx.ModelProto:
    """INPUT0, INPUT1: INT32 [batch, 16]. OUTPUT0 their sum, OUTPUT1 their difference."""
    graph = Graph("simple")
    x = graph.input("INPUT0", ["batch", 16], TensorProto.INT32)
    y = graph.input("INPUT1", ["batch", 16], TensorProto.INT32)
    graph.output(graph.op("Add", x, y), "OUTPUT0", ["batch", 16], TensorProto.INT32)
    graph.output(graph.op("Sub", x, y), "OUTPUT1", ["batch", 16], TensorProto.INT32)
    return graph.model()
