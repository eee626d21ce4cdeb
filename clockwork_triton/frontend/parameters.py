"""The parameters of a gRPC inference request: those with a meaning here, and the custom ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.request import ParameterValue

_EMPTY_FINAL = "triton_enable_empty_final_response"
# Parameter -> the kinds of InferParameter it may have. Sequences mean nothing to a model without them.
_KINDS = {
    "sequence_id": ("int64_param", "string_param"),
    "sequence_start": ("bool_param",),
    "sequence_end": ("bool_param",),
    "priority": ("int64_param", "uint64_param"),
    "timeout": ("int64_param",),
    _EMPTY_FINAL: ("bool_param",),
}
_CUSTOM_KINDS = ("int64_param", "bool_param", "string_param", "double_param")


class RequestParameters(NamedTuple):
    timeout_us: int
    priority: int
    custom: Mapping[str, ParameterValue]


def read_parameters(parameters: Mapping[str, Any]) -> RequestParameters:
    """`parameters`: InferParameter messages by key. ServerError INVALID_ARG in Triton's words."""
    timeout_us = priority = 0
    custom: dict[str, ParameterValue] = {}
    for key, message in parameters.items():
        kind = message.WhichOneof("parameter_choice")
        kinds = _KINDS.get(key, _CUSTOM_KINDS)
        if key.startswith("triton_") and key != _EMPTY_FINAL:
            _fail(
                "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following "
                f"keys starting with 'triton_' are allowed: {_EMPTY_FINAL}"
            )
        if kind not in kinds:
            _fail(f"invalid value type for '{key}' parameter, expected {_any_of(kinds)}.")
        value = getattr(message, kind)
        if key == "timeout":
            timeout_us = value
        elif key == "priority":
            if value < 0:
                _fail("invalid value for 'priority', expected value >= 0.")
            priority = value
        elif key not in _KINDS:
            custom[key] = value
    return RequestParameters(timeout_us, priority, custom)


def _any_of(kinds: tuple[str, ...]) -> str:
    """As Triton lists them: `a or b`, `a, b, or c`."""
    if len(kinds) <= 2:
        return " or ".join(kinds)
    return ", ".join(kinds[:-1]) + f", or {kinds[-1]}"


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
