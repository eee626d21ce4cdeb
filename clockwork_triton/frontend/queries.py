"""The RPCs that only look: one function each, from request message to response message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from grpc_health.v1 import health_pb2
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend import describe
from clockwork_triton.frontend.dataplane import DataPlane

EXTENSIONS = (
    "classification",
    "sequence",
    "model_repository",
    "model_repository(unload_dependents)",
    "schedule_policy",
    "model_configuration",
    "system_shared_memory",
    "cuda_shared_memory",
    "binary_tensor_data",
    "parameters",
    "statistics",
    "trace",
    "logging",
)


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """What ServerMetadata tells. `extensions` are Triton's names of what this server can do."""

    name: str
    version: str
    extensions: Sequence[str] = EXTENSIONS


class Queries:
    """`epoch_offset_ns` leads from the data plane's clock to the time since 1970."""

    def __init__(self, plane: DataPlane, identity: ServerIdentity, epoch_offset_ns: int) -> None:
        self._plane = plane
        self._identity = identity
        self._epoch_offset_ns = epoch_offset_ns

    def by_rpc(self) -> dict[str, Callable[[Any], Any]]:
        """The handlers of GRPCInferenceService's RPCs, by name."""
        return {
            "ServerLive": self.server_live,
            "ServerReady": self.server_ready,
            "ModelReady": self.model_ready,
            "ServerMetadata": self.server_metadata,
            "ModelMetadata": self.model_metadata,
            "ModelConfig": self.model_config,
            "ModelStatistics": self.model_statistics,
            "RepositoryIndex": self.repository_index,
        }

    def server_live(self, request: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=self._plane.live())

    def server_ready(self, request: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=self._plane.ready())

    def model_ready(self, request: Any) -> Any:
        ready = self._plane.model_ready(request.name, request.version)
        return service_pb2.ModelReadyResponse(ready=ready)

    def server_metadata(self, request: Any) -> Any:
        identity = self._identity
        return service_pb2.ServerMetadataResponse(
            name=identity.name, version=identity.version, extensions=identity.extensions
        )

    def model_metadata(self, request: Any) -> Any:
        models = self._plane.models(request.name, request.version)
        shown = self._plane.model(request.name, request.version)
        return describe.model_metadata(shown, [model.served.version for model in models])

    def model_config(self, request: Any) -> Any:
        model = self._plane.model(request.name, request.version)
        return service_pb2.ModelConfigResponse(config=model.served.config)

    def model_statistics(self, request: Any) -> Any:
        models = self._plane.models_with_statistics(request.name, request.version)
        return service_pb2.ModelStatisticsResponse(
            model_stats=[describe.model_statistics(model, self._epoch_offset_ns) for model in models]
        )

    def repository_index(self, request: Any) -> Any:
        if request.repository_name:
            raise ServerError(Code.UNSUPPORTED, "'repository_name' specification is not supported")
        return describe.repository_index(self._plane.entries(request.ready))

    def health(self, request: Any) -> Any:
        """grpc.health.v1 Check, of the server: the service named is ignored, as Triton does."""
        status = health_pb2.HealthCheckResponse
        return status(status=status.SERVING if self._plane.ready() else status.NOT_SERVING)
