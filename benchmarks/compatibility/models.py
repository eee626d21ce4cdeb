"""Models that both servers have: ONNX here, Triton's Python backend there, one configuration for both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

_SIMPLE = """
max_batch_size: 8
input [
  { name: "INPUT0" data_type: TYPE_INT32 dims: [ 16 ] },
  { name: "INPUT1" data_type: TYPE_INT32 dims: [ 16 ] }
]
output [
  { name: "OUTPUT0" data_type: TYPE_INT32 dims: [ 16 ] label_filename: "labels.txt" },
  { name: "OUTPUT1" data_type: TYPE_INT32 dims: [ 16 ] }
]
dynamic_batching { }
"""
_DOUBLE = """
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
output [ { name: "Y" data_type: TYPE_FP32 dims: [ 4 ] } ]
"""
_TEXTS = """
max_batch_size: 4
input [ { name: "X" data_type: TYPE_STRING dims: [ -1 ] } ]
output [ { name: "Y" data_type: TYPE_STRING dims: [ -1 ] } ]
"""
_SEQUENCE = """
max_batch_size: 4
input [ { name: "X" data_type: TYPE_INT32 dims: [ 1 ] } ]
output [ { name: "Y" data_type: TYPE_INT32 dims: [ 1 ] } ]
sequence_batching {
  max_sequence_idle_microseconds: 60000000
  control_input [
    { name: "START" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] },
    { name: "END" control [ { kind: CONTROL_SEQUENCE_END int32_false_true: [ 0, 1 ] } ] },
    { name: "ID" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] }
  ]
}
"""
_CHAIN = """
platform: "ensemble"
max_batch_size: 8
input [ { name: "A" data_type: TYPE_INT32 dims: [ 16 ] }, { name: "B" data_type: TYPE_INT32 dims: [ 16 ] } ]
output [ { name: "C" data_type: TYPE_INT32 dims: [ 16 ] } ]
ensemble_scheduling {
  step [
    {
      model_name: "simple"
      model_version: -1
      input_map { key: "INPUT0" value: "A" }
      input_map { key: "INPUT1" value: "B" }
      output_map { key: "OUTPUT0" value: "sum" }
      output_map { key: "OUTPUT1" value: "difference" }
    },
    {
      model_name: "simple"
      model_version: -1
      input_map { key: "INPUT0" value: "sum" }
      input_map { key: "INPUT1" value: "difference" }
      output_map { key: "OUTPUT0" value: "C" }
    }
  ]
}
"""
_CONFIGS = {"simple": _SIMPLE, "double": _DOUBLE, "texts": _TEXTS, "sequence": _SEQUENCE}
_LABELS = "zero\none\n\nthree\n"

_PYTHON_MODEL = """
import sys

sys.path.insert(0, {numpy!r})
import triton_python_backend_utils as utils


def tensor(request, name):
    return utils.get_input_tensor_by_name(request, name).as_numpy()


class TritonPythonModel:
    def execute(self, requests):
        return [utils.InferenceResponse(self.answer(request)) for request in requests]

    def answer(self, request):
        {answer}
"""
_ANSWERS = {
    "simple": 'a, b = tensor(request, "INPUT0"), tensor(request, "INPUT1")\n        '
    'return [utils.Tensor("OUTPUT0", a + b), utils.Tensor("OUTPUT1", a - b)]',
    "double": 'return [utils.Tensor("Y", tensor(request, "X") * 2)]',
    "texts": 'return [utils.Tensor("Y", tensor(request, "X"))]',
    "sequence": 'x, start, end, number = (tensor(request, name) for name in ("X", "START", "END", "ID"))\n'
    '        return [utils.Tensor("Y", (x + start + end * number.astype("int32")).astype("int32"))]',
}


def write_onnx(repository: Path) -> None:
    """`simple`, the sum and the difference of two INT32[16]; `double`, twice an FP32[4]; `texts`, its input;
    `sequence`, which adds what it is told of a sequence; and `chain`, an ensemble of `simple` twice."""
    for name, config in _CONFIGS.items():
        _write(repository / name, config)
        onnx.save(_graph(name), repository / name / "1" / "model.onnx")
    _write(repository / "chain", _CHAIN)


def write_python(repository: Path, numpy: Path) -> None:
    """The same for the Python backend. `numpy`: a directory with a numpy that its stub was built for."""
    for name, config in _CONFIGS.items():
        _write(repository / name, f'backend: "python"{config}instance_group [ {{ kind: KIND_CPU }} ]')
        code = _PYTHON_MODEL.format(numpy=str(numpy), answer=_ANSWERS[name])
        (repository / name / "1" / "model.py").write_text(code)
    _write(repository / "chain", _CHAIN)


def _write(model: Path, config: str) -> None:
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(config)
    (model / "labels.txt").write_text(_LABELS)


def _graph(name: str) -> onnx.ModelProto:
    made = {"simple": _simple, "double": _double, "texts": _texts, "sequence": _sequence}[name]()
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)])


def _simple() -> onnx.GraphProto:
    inputs, outputs = ["INPUT0", "INPUT1"], ["OUTPUT0", "OUTPUT1"]
    nodes = [
        helper.make_node(operator, inputs, [output])
        for operator, output in zip(("Add", "Sub"), outputs, strict=True)
    ]
    tensors = [_tensors(names, TensorProto.INT32, 16) for names in (inputs, outputs)]
    return helper.make_graph(nodes, "simple", *tensors)


def _double() -> onnx.GraphProto:
    nodes = [helper.make_node("Mul", ["X", "two"], ["Y"])]
    tensors = [_tensors([name], TensorProto.FLOAT, 4) for name in ("X", "Y")]
    return helper.make_graph(
        nodes, "double", *tensors, [helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])]
    )


def _texts() -> onnx.GraphProto:
    nodes = [helper.make_node("Identity", ["X"], ["Y"])]
    return helper.make_graph(nodes, "texts", *[_tensors([name], TensorProto.STRING, "M") for name in "XY"])


def _sequence() -> onnx.GraphProto:
    nodes = [
        helper.make_node("Cast", ["ID"], ["number"], to=TensorProto.INT32),
        helper.make_node("Mul", ["END", "number"], ["last"]),
        helper.make_node("Add", ["X", "START"], ["first"]),
        helper.make_node("Add", ["first", "last"], ["Y"]),
    ]
    inputs = [
        *_tensors(["X", "START", "END"], TensorProto.INT32, 1),
        *_tensors(["ID"], TensorProto.UINT64, 1),
    ]
    return helper.make_graph(nodes, "sequence", inputs, _tensors(["Y"], TensorProto.INT32, 1))


def _tensors(names: Sequence[str], kind: int, width: int | str) -> list[onnx.ValueInfoProto]:
    return [helper.make_tensor_value_info(name, kind, ["N", width]) for name in names]
