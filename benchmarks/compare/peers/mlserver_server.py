"""MLServer with ONNX models: `mlserver_server.py REPOSITORY PORT`. Without parallel workers, which cost more
than they bring where a model takes less than several milliseconds."""

import sys
from pathlib import Path

import common
import uvloop

common.serve_configs(sys.argv[1], sys.argv[2])

from mlserver import MLModel, MLServer, ModelSettings, Settings  # noqa: E402
from mlserver.codecs import NumpyCodec  # noqa: E402
from mlserver.types import InferenceResponse, MetadataModelResponse, MetadataTensor  # noqa: E402


class OnnxModel(MLModel):
    async def load(self):
        self._session = common.session(self.settings.parameters.uri)
        self._names = [each.name for each in self._session.get_outputs()]
        return True

    async def metadata(self):
        inputs, outputs = (
            [MetadataTensor(**each) for each in common.tensors(values)]
            for values in (self._session.get_inputs(), self._session.get_outputs())
        )
        return MetadataModelResponse(name=self.name, platform="onnx", inputs=inputs, outputs=outputs)

    async def predict(self, payload):
        inputs = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        results = self._session.run(None, inputs)
        outputs = [NumpyCodec.encode_output(*each) for each in zip(self._names, results, strict=True)]
        return InferenceResponse(model_name=self.name, id=payload.id, outputs=outputs)


async def main(repository, port):
    settings = Settings(
        host="127.0.0.1",
        grpc_port=int(port),
        http_port=0,
        metrics_endpoint=None,
        parallel_workers=0,
        debug=False,
        grpc_max_message_length=-1,
    )
    models = [
        ModelSettings(
            name=name,
            implementation=OnnxModel,
            parameters={"uri": str(Path(repository) / name / "1" / "model.onnx")},
        )
        for name in common.models(repository)
    ]
    await MLServer(settings).start(models)


uvloop.run(main(*sys.argv[1:]))
