"""What the launchers of Python servers share. Runs in their environments, without this project.

perf_analyzer asks every server for ModelConfig, which the open inference protocol does not have. It is
answered by a handler of its own that gRPC asks only where the server itself has none: off the path of
inference.
"""

import os
from pathlib import Path

import grpc
import onnxruntime
from grpc import aio

METHOD = "/inference.GRPCInferenceService/ModelConfig"
DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64", "tensor(int32)": "INT32"}


def session(path):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = int(os.environ["INFERENCE_THREADS"])
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def tensors(values):
    """Name, datatype and shape, -1 for what is open."""
    return [
        {
            "name": value.name,
            "datatype": DATATYPES[value.type],
            "shape": [dim if isinstance(dim, int) else -1 for dim in value.shape],
        }
        for value in values
    ]


def models(repository):
    return sorted(path.name for path in Path(repository).iterdir() if (path / "1" / "model.onnx").exists())


class _Configs(grpc.GenericRpcHandler):
    def __init__(self, repository):
        self._repository = Path(repository)

    def service(self, call):
        if call.method == METHOD:
            return grpc.unary_unary_rpc_method_handler(self._answer)
        return None

    async def _answer(self, request, context):
        # ModelConfigRequest: the name is the first field.
        name = request[2 : 2 + request[1]].decode()
        return (self._repository / name / "config.bin").read_bytes()


def serve_configs(repository, port):
    """Every server that is made from now on answers ModelConfig, and listens on loopback only."""
    made = aio.server

    def server(*args, **kwargs):
        options = [*(kwargs.pop("options", None) or []), ("grpc.max_receive_message_length", -1)]
        it = made(*args, options=options, **kwargs)
        add, start = it.add_insecure_port, it.start

        async def begin():
            it.add_generic_rpc_handlers([_Configs(repository)])
            await start()

        it.add_insecure_port = lambda address: add(f"127.0.0.1:{port}")
        it.start = begin
        return it

    aio.server = grpc.aio.server = server
