"""The parameters of a gRPC inference request: those with a meaning here, and the custom ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.request import ParameterValue
from clockwork_triton.frontend.sequences import NO_SEQUENCE, SequenceTag

_EMPTY_FINAL = "triton_enable_empty_final_response"
SEQUENCE_KEYS = {"sequence_id": "id", "sequence_start": "start", "sequence_end": "end"}
"""Parameter -> field of SequenceTag."""
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
    sequence: SequenceTag = NO_SEQUENCE


def timeout_of(parameters: Mapping[str, Any]) -> int:
    """The timeout alone, in microseconds: 0 where there is none, or none that is in order."""
    timeout_us: int = parameters["timeout"].int64_param if "timeout" in parameters else 0
    return timeout_us


def read_parameters(parameters: Mapping[str, Any]) -> RequestParameters:
    """`parameters`: InferParameter messages by key. ServerError INVALID_ARG in Triton's words."""
    timeout_us = priority = 0
    sequence: dict[str, Any] = {}
    custom: dict[str, ParameterValue] = {}
    for key, message in parameters.items():
        kind = message.WhichOneof("parameter_choice")
        kinds = _KINDS.get(key)
        if kinds is None:
            custom[key] = _custom(key, kind, message)
        elif kind not in kinds:
            _fail(f"invalid value type for '{key}' parameter, expected {_any_of(kinds)}.")
        elif key in SEQUENCE_KEYS:
            sequence[SEQUENCE_KEYS[key]] = getattr(message, kind)
        elif key == "timeout":
            timeout_us = message.int64_param
        elif key == "priority":
            priority = getattr(message, kind)
            if priority < 0:
                _fail("invalid value for 'priority', expected value >= 0.")
    tag = SequenceTag(**sequence) if sequence else NO_SEQUENCE
    return RequestParameters(timeout_us, priority, custom, tag)


def _custom(key: str, kind: str | None, message: Any) -> ParameterValue:
    if key.startswith("triton_"):
        _fail(
            "parameter keys starting with 'triton_' are reserved for Triton usage. Only the following "
            f"keys starting with 'triton_' are allowed: {_EMPTY_FINAL}"
        )
    if kind not in _CUSTOM_KINDS:
        _fail(f"invalid value type for '{key}' parameter, expected {_any_of(_CUSTOM_KINDS)}.")
    value: ParameterValue = getattr(message, kind)
    return value


def _any_of(kinds: tuple[str, ...]) -> str:
    """As Triton lists them: `a or b`, `a, b, or c`."""
    if len(kinds) <= 2:
        return " or ".join(kinds)
    return ", ".join(kinds[:-1]) + f", or {kinds[-1]}"


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
