"""A grpcio server with two models, one of which refuses."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc


class Models(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]
    def __init__(self) -> None:
        self.requests: list[Any] = []
        self.lists = True

    def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(name="fake", version="1.0")

    def RepositoryIndex(self, request: Any, context: Any) -> Any:
        if not self.lists:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        index = service_pb2.RepositoryIndexResponse()
        for name in ("good", "bad"):
            index.models.add(name=name, version="1", state="READY")
        return index

    def ModelMetadata(self, request: Any, context: Any) -> Any:
        if request.name not in ("good", "bad", "open"):
            context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}'")
        metadata = service_pb2.ModelMetadataResponse(name=request.name)
        shape = [-1, -1, 4] if request.name == "open" else [-1, 4]
        metadata.inputs.add(name="IN", datatype="FP32", shape=shape)
        return metadata

    def ModelInfer(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        if request.model_name == "bad":
            context.abort(grpc.StatusCode.UNAVAILABLE, "Request timeout expired")
        return service_pb2.ModelInferResponse(model_name=request.model_name)


@contextlib.contextmanager
def serve() -> Iterator[tuple[str, Models]]:
    models, server = Models(), grpc.server(ThreadPoolExecutor(4))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(models, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}", models
    finally:
        server.stop(None).wait()
