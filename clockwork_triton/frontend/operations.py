"""The RPCs that change something: one function each, from request message to response message."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.telemetry.trace_settings import TraceSettings

FILE_PREFIX = "file:"


class Operations:
    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane
        self._facilities = plane.facilities
        self._memory = plane.facilities.shared_memory

    def by_rpc(self) -> dict[str, Callable[[Any], Any | Awaitable[Any]]]:
        """The handlers of GRPCInferenceService's RPCs, by name; some are coroutine functions."""
        return {
            "RepositoryModelLoad": self.load,
            "RepositoryModelUnload": self.unload,
            "SystemSharedMemoryStatus": self.system_status,
            "SystemSharedMemoryRegister": self.system_register,
            "SystemSharedMemoryUnregister": self.system_unregister,
            "CudaSharedMemoryStatus": self.cuda_status,
            "CudaSharedMemoryRegister": self.cuda_register,
            "CudaSharedMemoryUnregister": self.cuda_unregister,
            "TraceSetting": self.trace_setting,
            "LogSettings": self.log_settings,
        }

    async def load(self, request: Any) -> Any:
        _one_repository(request)
        config: str | None = None
        files: dict[str, bytes] = {}
        for key, parameter in request.parameters.items():
            kind = parameter.WhichOneof("parameter_choice")
            if key == "config":
                if kind != "string_param":
                    _fail(f"invalid value type for load parameter '{key}', expected string_param.")
                config = parameter.string_param
            elif key.startswith(FILE_PREFIX):
                if kind != "bytes_param":
                    _fail(f"invalid value type for load parameter '{key}', expected bytes_param.")
                files[key[len(FILE_PREFIX) :]] = parameter.bytes_param
            else:
                _fail(f"unrecognized load parameter '{key}'.")
        await self._facilities.load_model(request.model_name, config, files)
        return service_pb2.RepositoryModelLoadResponse()

    def unload(self, request: Any) -> Any:
        _one_repository(request)
        dependents = False
        if "unload_dependents" in request.parameters:
            parameter = request.parameters["unload_dependents"]
            if parameter.WhichOneof("parameter_choice") != "bool_param":
                _fail("invalid value type for 'unload_dependents' parameter, expected bool_param.")
            dependents = parameter.bool_param
        self._facilities.unload_model(request.model_name, dependents)
        return service_pb2.RepositoryModelUnloadResponse()

    def system_status(self, request: Any) -> Any:
        response = service_pb2.SystemSharedMemoryStatusResponse()
        for region in self._memory.status(request.name):
            status = response.regions[region.name]
            status.name, status.key = region.name, region.key
            status.offset, status.byte_size = region.offset, region.byte_size
        return response

    def system_register(self, request: Any) -> Any:
        self._memory.register(request.name, request.key, request.offset, request.byte_size)
        return service_pb2.SystemSharedMemoryRegisterResponse()

    def system_unregister(self, request: Any) -> Any:
        if request.name:
            self._memory.unregister(request.name)
        else:
            self._memory.unregister_all()
        return service_pb2.SystemSharedMemoryUnregisterResponse()

    def cuda_status(self, request: Any) -> Any:
        self._memory.check_no_cuda(request.name)
        return service_pb2.CudaSharedMemoryStatusResponse()

    def cuda_register(self, request: Any) -> NoReturn:
        self._memory.refuse_cuda(request.name)

    def cuda_unregister(self, request: Any) -> Any:
        """There is nothing to unregister, which is no error."""
        return service_pb2.CudaSharedMemoryUnregisterResponse()

    def trace_setting(self, request: Any) -> Any:
        settings = {name: list(setting.value) for name, setting in request.settings.items()}
        shown = shown_trace_settings(self._plane.update_trace(request.model_name, settings))
        response = service_pb2.TraceSettingResponse()
        for name, value in shown.items():
            response.settings[name].value.extend([value] if isinstance(value, str) else value)
        return response

    def log_settings(self, request: Any) -> Any:
        settings = {
            name: getattr(setting, kind)
            for name, setting in request.settings.items()
            if (kind := setting.WhichOneof("parameter_choice"))
        }
        self._facilities.update_log(settings)
        response = service_pb2.LogSettingsResponse()
        for name, value in self._facilities.log_settings().items():
            kind = {bool: "bool_param", int: "uint32_param", str: "string_param"}[type(value)]
            setattr(response.settings[name], kind, value)
        return response


def shown_trace_settings(settings: TraceSettings) -> dict[str, str | list[str]]:
    """By the protocol's names, numbers as text; `trace_level` is a list."""
    return {
        "trace_level": list(settings.level) or ["OFF"],
        "trace_rate": str(settings.rate),
        "trace_count": str(settings.count),
        "log_frequency": str(settings.log_frequency),
        "trace_file": settings.file,
        "trace_mode": "triton",
    }


def _one_repository(request: Any) -> None:
    if request.repository_name:
        raise ServerError(Code.UNSUPPORTED, "'repository_name' specification is not supported")


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
