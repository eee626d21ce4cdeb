"""The routes that change something: models, shared memory, traces, logs."""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any, NoReturn

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.http.exchange import JSON, HttpRequest, HttpResponse, json_response
from clockwork_triton.frontend.http.json_values import (
    as_array,
    as_bool,
    as_object,
    as_string,
    as_uint,
    find,
    parse,
)
from clockwork_triton.frontend.http.routes import Routes
from clockwork_triton.frontend.operations import FILE_PREFIX, shown_trace_settings
from clockwork_triton.telemetry.logs import FORMATS

_DONE = HttpResponse(200, content_type=JSON)


class ControlHandlers:
    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._facilities = plane.facilities
        self._memory = plane.facilities.shared_memory

    def add_to(self, routes: Routes) -> None:
        category = "model-repository"
        routes.add("/v2/repository/models/{m}/load", "POST", category, self.load)
        routes.add("/v2/repository/models/{m}/unload", "POST", category, self.unload)
        for action in ("load", "unload"):
            routes.add(f"/v2/repository/{{r}}/models/{{m}}/{action}", "POST", category, self.one_repository)
        category = "shared-memory"
        system, cuda = "/v2/systemsharedmemory{r?}/", "/v2/cudasharedmemory{r?}/"
        routes.add(system + "status", "GET", category, self.system_status)
        routes.add(system + "register", "POST", category, self.system_register)
        routes.add(system + "unregister", "POST", category, self.system_unregister)
        routes.add(cuda + "status", "GET", category, self.cuda_status)
        routes.add(cuda + "register", "POST", category, self.cuda_register)
        routes.add(cuda + "unregister", "POST", category, self.cuda_unregister)
        routes.add("/v2/trace/setting", "GET POST", "trace", self.trace)
        routes.add("/v2/models/{m}/trace/setting", "GET POST", "trace", self.trace)
        routes.add("/v2/logging", "GET POST", "logging", self.logging)

    async def load(self, request: HttpRequest, name: str) -> HttpResponse:
        config: str | None = None
        files: dict[str, bytes] = {}
        parameters = find(parse(request.body), "parameters") if request.body else None
        for key, value in as_object({} if parameters is None else parameters).items():
            text = as_string(value)
            if key == "config":
                config = text
            elif key.startswith(FILE_PREFIX):
                files[key[len(FILE_PREFIX) :]] = _decoded(key, text)
            else:
                raise ServerError(Code.INVALID_ARG, f"unrecognized load parameter '{key}'.")
        await self._facilities.load_model(name, config, files)
        return _DONE

    def unload(self, request: HttpRequest, name: str) -> HttpResponse:
        parameters = find(parse(request.body), "parameters") if request.body else None
        dependents = find(parameters, "unload_dependents")
        if dependents is not None:
            dependents = as_bool(dependents, "Unable to parse 'unload_dependents'")
        self._facilities.unload_model(name, bool(dependents))
        return _DONE

    def one_repository(self, request: HttpRequest, repository: str, name: str) -> HttpResponse:
        raise ServerError(Code.UNSUPPORTED, "'repository_name' specification is not supported")

    def system_status(self, request: HttpRequest, name: str) -> HttpResponse:
        return json_response(
            [
                {"name": r.name, "key": r.key, "offset": r.offset, "byte_size": r.byte_size}
                for r in self._memory.status(name)
            ]
        )

    def system_register(self, request: HttpRequest, name: str) -> HttpResponse:
        if not name:
            _fail("'region name' is necessary to register system shared memory region")
        asked = parse(request.body)
        key = as_string(_needed(asked, "key"))
        offset = find(asked, "offset")
        byte_size = as_uint(_needed(asked, "byte_size"))
        self._memory.register(name, key, 0 if offset is None else as_uint(offset), byte_size)
        return _DONE

    def system_unregister(self, request: HttpRequest, name: str) -> HttpResponse:
        if name:
            self._memory.unregister(name)
        else:
            self._memory.unregister_all()
        return _DONE

    def cuda_status(self, request: HttpRequest, name: str) -> HttpResponse:
        self._memory.check_no_cuda(name)
        return json_response([])

    def cuda_register(self, request: HttpRequest, name: str) -> HttpResponse:
        if not name:
            _fail("'region name' is necessary to register cuda shared memory region")
        self._memory.refuse_cuda(name)

    def cuda_unregister(self, request: HttpRequest, name: str) -> HttpResponse:
        return _DONE

    def trace(self, request: HttpRequest, model: str = "") -> HttpResponse:
        settings: dict[str, Sequence[str] | None] = {}
        if request.method == "POST":
            for name, value in as_object(parse(request.body)).items():
                settings[name] = _trace_values(name, value)
        return json_response(shown_trace_settings(self._plane.update_trace(model, settings)))

    def logging(self, request: HttpRequest) -> HttpResponse:
        if request.method == "POST":
            asked = as_object(parse(request.body))
            settings = {name: value for name, value in asked.items() if value is not None}
            for name, read in _LOG_TYPES.items():
                if name in settings:
                    settings[name] = read(settings[name])
            style = settings.get("log_format", FORMATS[0])
            if style not in FORMATS:
                # Triton's two protocols disagree about this one.
                raise ServerError(Code.UNAVAILABLE, f"invalid argument for --log_format, got: {style}")
            self._facilities.update_log(settings)
        return json_response(self._facilities.log_settings())


_LOG_TYPES: dict[str, Any] = {
    "log_info": as_bool,
    "log_warning": as_bool,
    "log_error": as_bool,
    "log_verbose_level": as_uint,
    "log_format": as_string,
}


def _trace_values(name: str, value: Any) -> Sequence[str] | None:
    if value is None:
        return None
    if name == "trace_level":
        return [as_string(level) for level in as_array(value)]
    return [as_string(value)] if name in ("trace_rate", "trace_count", "log_frequency") else []


def _needed(asked: Any, name: str) -> Any:
    value = find(asked, name)
    if value is None:
        _fail(f"Shared memory register request has no '{name}' field")
    return value


def _decoded(key: str, text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError as error:
        raise ServerError(Code.INVALID_ARG, f"unable to decode base64 of load parameter '{key}'") from error


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
