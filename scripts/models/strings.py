"""Models of strings, as Triton's examples `simple_string` and `simple_identity`."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from scripts.models.graph import Graph


def simple_string() -> onnx.ModelProto:
    """As `simple`, on numbers written as text."""
    graph = Graph("simple_string")
    names = ("INPUT0", "INPUT1")
    x, y = (
        graph.op("Cast", graph.input(name, ["batch", 16], TensorProto.STRING), to=TensorProto.INT32)
        for name in names
    )
    for output, operator in (("OUTPUT0", "Add"), ("OUTPUT1", "Sub")):
        text = graph.op("Cast", graph.op(operator, x, y), to=TensorProto.STRING)
        graph.output(text, output, ["batch", 16], TensorProto.STRING)
    return graph.model()


def simple_identity() -> onnx.ModelProto:
    """Gives back the texts it is given, any number of them."""
    graph = Graph("simple_identity")
    x = graph.input("INPUT0", ["batch", "texts"], TensorProto.STRING)
    graph.output(graph.op("Identity", x), "OUTPUT0", ["batch", "texts"], TensorProto.STRING)
    return graph.model()
