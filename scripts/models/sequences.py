"""Models of sequences, as Triton's examples `simple_sequence` and `simple_dyna_sequence`, and one that
remembers."""

from __future__ import annotations

import onnx
from onnx import TensorProto

from scripts.models.graph import Graph

_ROW = ["batch", 1]


def simple_sequence() -> onnx.ModelProto:
    """OUTPUT: INPUT, and one more in the first request of a sequence."""
    graph = Graph("simple_sequence")
    x, start, ready = (graph.input(name, _ROW, TensorProto.INT32) for name in ("INPUT", "START", "READY"))
    graph.output(graph.op("Mul", graph.op("Add", x, start), ready), "OUTPUT", _ROW, TensorProto.INT32)
    return graph.model()


def simple_dyna_sequence() -> onnx.ModelProto:
    """As `simple_sequence`, and in the last request of a sequence its correlation id more."""
    graph = Graph("simple_dyna_sequence")
    names = ("INPUT", "START", "END", "READY")
    x, start, end, ready = (graph.input(name, _ROW, TensorProto.INT32) for name in names)
    number = graph.op("Cast", graph.input("CORRID", _ROW, TensorProto.UINT64), to=TensorProto.INT32)
    total = graph.op("Add", graph.op("Add", x, start), graph.op("Mul", end, number))
    graph.output(graph.op("Mul", total, ready), "OUTPUT", _ROW, TensorProto.INT32)
    return graph.model()


def simple_string_dyna_sequence() -> onnx.ModelProto:
    """OUTPUT: the sum of the sequence's inputs so far, which is its state; in the last request of a sequence
    its correlation id, a text that reads as a number, more."""
    graph = Graph("simple_string_dyna_sequence")
    names = ("INPUT", "START", "END", "READY")
    x, start, end, ready = (graph.input(name, _ROW, TensorProto.INT32) for name in names)
    number = graph.op("Cast", graph.input("CORRID", _ROW, TensorProto.STRING), to=TensorProto.INT32)
    before = graph.input("SUM_BEFORE", _ROW, TensorProto.INT32)
    going_on = graph.op("Sub", graph.constant([1], "int32"), start)
    total = graph.op("Add", x, graph.op("Mul", going_on, before))
    graph.output(
        graph.op("Mul", graph.op("Add", total, graph.op("Mul", end, number)), ready),
        "OUTPUT",
        _ROW,
        TensorProto.INT32,
    )
    graph.output(total, "SUM", _ROW, TensorProto.INT32)
    return graph.model()
