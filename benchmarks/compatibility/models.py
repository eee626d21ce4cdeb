"""Models that both servers have: ONNX here, Triton's Python backend there, one configuration for both."""

from __future__ import annotations

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
}


def write_onnx(repository: Path) -> None:
    """`simple`, the sum and the difference of two INT32[16], and `double`, twice an FP32[4]."""
    for name, config in (("simple", _SIMPLE), ("double", _DOUBLE)):
        _write(repository / name, config)
        onnx.save(_graph(name), repository / name / "1" / "model.onnx")


def write_python(repository: Path, numpy: Path) -> None:
    """The same for the Python backend. `numpy`: a directory with a numpy that its stub was built for."""
    for name, config in (("simple", _SIMPLE), ("double", _DOUBLE)):
        _write(repository / name, f'backend: "python"{config}instance_group [ {{ kind: KIND_CPU }} ]')
        code = _PYTHON_MODEL.format(numpy=str(numpy), answer=_ANSWERS[name])
        (repository / name / "1" / "model.py").write_text(code)


def _write(model: Path, config: str) -> None:
    (model / "1").mkdir(parents=True)
    (model / "config.pbtxt").write_text(config)
    (model / "labels.txt").write_text(_LABELS)


def _graph(name: str) -> onnx.ModelProto:
    if name == "simple":
        kind, dims = TensorProto.INT32, ["N", 16]
        inputs, outputs = ["INPUT0", "INPUT1"], ["OUTPUT0", "OUTPUT1"]
        nodes = [
            helper.make_node(operator, inputs, [output])
            for operator, output in zip(("Add", "Sub"), outputs, strict=True)
        ]
        constants = []
    else:
        kind, dims = TensorProto.FLOAT, ["N", 4]
        inputs, outputs = ["X"], ["Y"]
        nodes = [helper.make_node("Mul", ["X", "two"], ["Y"])]
        constants = [helper.make_tensor("two", TensorProto.FLOAT, [1], [2.0])]
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(each, kind, dims) for each in inputs],
        [helper.make_tensor_value_info(each, kind, dims) for each in outputs],
        constants,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
