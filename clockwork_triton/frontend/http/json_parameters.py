"""The `parameters` of an inference request in JSON."""

from __future__ import annotations

from typing import Any, NamedTuple, NoReturn

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http.json_values import as_bool, as_object, as_string, as_uint
from clockwork_triton.frontend.parameters import SEQUENCE_KEYS, RequestParameters
from clockwork_triton.frontend.request import ParameterValue
from clockwork_triton.frontend.sequences import NO_SEQUENCE, SequenceTag

_INT64 = 1 << 63


class JsonParameters(NamedTuple):
    """`binary_output`: whether outputs that say nothing of themselves are sent as bytes."""

    request: RequestParameters
    binary_output: bool


NO_PARAMETERS = JsonParameters(RequestParameters(0, 0, {}), False)


def read_json_parameters(parameters: Any) -> JsonParameters:
    """ServerError in Triton's words."""
    timeout_us = priority = 0
    binary_output = False
    sequence: dict[str, Any] = {}
    custom: dict[str, ParameterValue] = {}
    for key, value in as_object(parameters, "failed to get request params.").items():
        unable = f"Unable to parse '{key}'"
        if key == "timeout":
            timeout_us = as_uint(value, unable)
        elif key == "priority":
            priority = as_uint(value, unable)
        elif key == "binary_data_output":
            binary_output = as_bool(value, unable)
        elif key == "sequence_id":
            # Sequences mean nothing to a model without them.
            whole = type(value) is int and 0 <= value < 1 << 64
            sequence["id"] = value if whole else as_string(value, unable)
        elif key in SEQUENCE_KEYS:
            sequence[SEQUENCE_KEYS[key]] = as_bool(value, unable)
        elif key.startswith("triton_"):
            _fail(
                "parameter keys starting with 'triton_' are reserved for Triton usage and should not be "
                "specified."
            )
        else:
            custom[key] = _custom(key, value)
    tag = SequenceTag(**sequence) if sequence else NO_SEQUENCE
    return JsonParameters(RequestParameters(timeout_us, priority, custom, tag), binary_output)


def _custom(key: str, value: Any) -> ParameterValue:
    if isinstance(value, bool | str | float):
        return value
    if not isinstance(value, int):
        _fail(f"parameter '{key}' has invalid type. It should be either 'int', 'bool', or 'string'.")
    return value if -_INT64 <= value < _INT64 else float(value)


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
