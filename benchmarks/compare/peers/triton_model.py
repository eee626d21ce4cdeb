"""A model of Triton's Python backend that calls ONNX Runtime on `model.onnx` beside it.

The requests of a batch are run as one; parameters of the configuration say where the packages are.
"""

import json
import sys
from pathlib import Path

import triton_python_backend_utils as utils


class TritonPythonModel:
    def initialize(self, args):
        config = json.loads(args["model_config"])
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        sys.path.insert(0, parameters["packages"])
        import numpy
        import onnxruntime

        self._numpy = numpy
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(parameters["threads"])
        options.inter_op_num_threads = 1
        path = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._inputs = [each.name for each in self._session.get_inputs()]
        self._outputs = [each.name for each in self._session.get_outputs()]

    def execute(self, requests):
        asked = [
            {name: utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
            for request in requests
        ]
        if len(asked) == 1:
            return [self._response(self._session.run(None, asked[0]))]
        joined = {name: self._numpy.concatenate([each[name] for each in asked]) for name in self._inputs}
        results = self._session.run(None, joined)
        responses, first = [], 0
        for each in asked:
            last = first + len(each[self._inputs[0]])
            responses.append(self._response([result[first:last] for result in results]))
            first = last
        return responses

    def _response(self, results):
        tensors = [utils.Tensor(*each) for each in zip(self._outputs, results, strict=True)]
        return utils.InferenceResponse(tensors)
