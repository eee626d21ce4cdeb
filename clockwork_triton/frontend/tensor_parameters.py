"""The parameters that a gRPC inference request gives to single tensors: shared memory and classification."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from clockwork_triton.errors import Code, ServerError


class RegionReference(NamedTuple):
    name: str
    offset: int
    byte_size: int


def region_of(tensor_name: str, parameters: Mapping[str, Any]) -> RegionReference | None:
    """Where in shared memory a tensor lies, None where in none. ServerError INVALID_ARG in Triton's words."""
    region = _read(parameters, "shared_memory_region", "string_param", tensor_name)
    offset = _read(parameters, "shared_memory_offset", "int64_param", tensor_name)
    byte_size = _read(parameters, "shared_memory_byte_size", "int64_param", tensor_name)
    if region is None:
        for key, value in (("shared_memory_offset", offset), ("shared_memory_byte_size", byte_size)):
            if value is not None:
                _fail(
                    f"'{key}' can not be specified without 'shared_memory_region' parameter "
                    f"for tensor '{tensor_name}'"
                )
        return None
    if byte_size is None:
        _fail(
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter "
            f"for tensor '{tensor_name}'"
        )
    return RegionReference(region, offset or 0, byte_size)


def classes_of(parameters: Mapping[str, Any]) -> int:
    """How many classes an output is asked for, 0 where none. ServerError INVALID_ARG in Triton's words."""
    parameter = parameters.get("classification")
    if parameter is None:
        return 0
    if parameter.WhichOneof("parameter_choice") != "int64_param":
        _fail("invalid value type for 'classification' parameter, expected int64_param")
    classes: int = parameter.int64_param
    if classes <= 0:
        _fail("invalid value for 'classification' parameter, expected >= 0")
    return classes


def _read(parameters: Mapping[str, Any], key: str, kind: str, tensor_name: str) -> Any:
    parameter = parameters.get(key)
    if parameter is None:
        return None
    if parameter.WhichOneof("parameter_choice") != kind:
        _fail(f"invalid value type for '{key}' parameter for tensor '{tensor_name}', expected {kind}.")
    return getattr(parameter, kind)


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
