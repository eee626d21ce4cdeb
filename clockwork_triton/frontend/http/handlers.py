"""The routes that look: health, metadata, configuration, statistics, index."""

from __future__ import annotations

from tritonclient.grpc import service_pb2

from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.http.exchange import HttpRequest, HttpResponse, error_response, json_response
from clockwork_triton.frontend.http.json_messages import to_json
from clockwork_triton.frontend.http.json_values import as_bool, find, parse
from clockwork_triton.frontend.http.routes import Routes
from clockwork_triton.frontend.queries import Queries

_EMPTY = "text/plain"


class QueryHandlers:
    def __init__(self, plane: DataPlane, queries: Queries) -> None:
        self._plane = plane
        self._queries = queries

    def add_to(self, routes: Routes) -> None:
        routes.add("/v2", "GET", "metadata", self.server_metadata)
        routes.add("/v2/health/live", "GET", "health", self.live)
        routes.add("/v2/health/ready", "GET", "health", self.ready)
        routes.add("/v2/models/stats", "GET", "statistics", self.statistics)
        routes.add("/v2/models/{m}{v}", "GET", "metadata", self.model_metadata)
        routes.add("/v2/models/{m}{v}/ready", "GET", "health", self.model_ready)
        routes.add("/v2/models/{m}{v}/config", "GET", "model-config", self.model_config)
        routes.add("/v2/models/{m}{v}/stats", "GET", "statistics", self.statistics)
        routes.add("/v2/repository/index", "POST", "model-repository", self.index)
        routes.add("/v2/repository/{r}/index", "POST", "model-repository", self.index)

    def live(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200 if self._plane.live() else 400, content_type=_EMPTY)

    def ready(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(200 if self._plane.ready() else 400, content_type=_EMPTY)

    def model_ready(self, request: HttpRequest, name: str, version: str) -> HttpResponse:
        if self._plane.model_ready(name, version):
            return HttpResponse(200, content_type=_EMPTY)
        return error_response(400, "Model version not ready")

    def server_metadata(self, request: HttpRequest) -> HttpResponse:
        return json_response(to_json(self._queries.server_metadata(request)))

    def model_metadata(self, request: HttpRequest, name: str, version: str) -> HttpResponse:
        asked = service_pb2.ModelMetadataRequest(name=name, version=version)
        return json_response(to_json(self._queries.model_metadata(asked)))

    def model_config(self, request: HttpRequest, name: str, version: str) -> HttpResponse:
        return json_response(to_json(self._plane.model(name, version).served.config))

    def statistics(self, request: HttpRequest, name: str = "", version: str = "") -> HttpResponse:
        asked = service_pb2.ModelStatisticsRequest(name=name, version=version)
        return json_response(to_json(self._queries.model_statistics(asked)))

    def index(self, request: HttpRequest, repository: str = "") -> HttpResponse:
        """As in Triton the name of a repository in the path changes nothing."""
        ready = find(parse(request.body), "ready") if request.body else None
        asked = service_pb2.RepositoryIndexRequest(ready=ready is not None and as_bool(ready))
        models = to_json(self._queries.repository_index(asked))["models"]
        return json_response([{name: text for name, text in model.items() if text} for model in models])
