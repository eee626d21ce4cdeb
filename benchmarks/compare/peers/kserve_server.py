"""KServe's Python server with ONNX models: `kserve_server.py REPOSITORY PORT`. Its gRPC side alone."""

import asyncio
import logging
import sys
from pathlib import Path

import common
import uvloop

common.serve_configs(sys.argv[1], sys.argv[2])

from kserve import InferOutput, InferResponse, Model, ModelRepository  # noqa: E402
from kserve.protocol.dataplane import DataPlane  # noqa: E402
from kserve.protocol.grpc.server import GRPCServer  # noqa: E402
from kserve.protocol.model_repository_extension import ModelRepositoryExtension  # noqa: E402


class OnnxModel(Model):
    def __init__(self, name, path):
        super().__init__(name)
        self._session = common.session(path)
        self._outputs = common.tensors(self._session.get_outputs())
        self.ready = True

    def get_input_types(self):
        return common.tensors(self._session.get_inputs())

    def get_output_types(self):
        return self._outputs

    def predict(self, payload, headers=None, response_headers=None):
        results = self._session.run(None, {each.name: each.as_numpy() for each in payload.inputs})
        outputs = []
        for result, output in zip(results, self._outputs, strict=True):
            made = InferOutput(output["name"], list(result.shape), output["datatype"])
            made.set_data_from_numpy(result, binary_data=True)
            outputs.append(made)
        return InferResponse(payload.id, self.name, outputs)


def main(repository, port):
    logging.disable(logging.INFO)
    registry = ModelRepository()
    for name in common.models(repository):
        registry.update(OnnxModel(name, Path(repository) / name / "1" / "model.onnx"))
    unlimited = {"grpc_max_send_message_length": -1, "grpc_max_receive_message_length": -1}
    server = GRPCServer(int(port), DataPlane(registry), ModelRepositoryExtension(registry), unlimited)
    uvloop.install()
    asyncio.run(server.start(4))


main(*sys.argv[1:])
