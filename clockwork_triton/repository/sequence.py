"""`sequence_batching`, as serving reads it: the tensors that a request's place in its sequence becomes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc.model_config_pb2 import DataType, ModelSequenceBatching

from clockwork_triton.datatypes import WIRE_TO_NUMPY
from clockwork_triton.repository.config import invalid

DEFAULT_IDLE_US = 1_000_000
"""Triton's `max_sequence_idle_microseconds` where none is given."""

_Kind = ModelSequenceBatching.Control.Kind
_VALUES = {"int32_false_true": "int32", "fp32_false_true": "float32", "bool_false_true": "bool"}


class Control(Enum):
    START = "CONTROL_SEQUENCE_START"
    END = "CONTROL_SEQUENCE_END"
    READY = "CONTROL_SEQUENCE_READY"
    CORRID = "CONTROL_SEQUENCE_CORRID"


@dataclass(frozen=True)
class ControlTensor:
    """An input of one element a row. `values`: the bytes for false and for true; none for CORRID."""

    name: str
    control: Control
    dtype: str
    values: tuple[bytes, bytes] = (b"", b"")


@dataclass(frozen=True)
class StateTensor:
    """What an output says is an input of the sequence's next request. `initial`: that of its first."""

    input_name: str
    output_name: str
    dtype: str
    dims: tuple[int, ...]
    initial: bytes


@dataclass(frozen=True)
class SequencePlan:
    """The model's inputs are those of its clients, then `controls`, then `states`; its outputs likewise."""

    idle_ns: int
    controls: tuple[ControlTensor, ...]
    states: tuple[StateTensor, ...]

    @property
    def inputs(self) -> tuple[str, ...]:
        return (*(each.name for each in self.controls), *(each.input_name for each in self.states))

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(each.output_name for each in self.states)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Of `inputs`, without the batch dimension."""
        return {
            **{each.name: (1,) for each in self.controls},
            **{each.input_name: each.dims for each in self.states},
        }


def sequence_plan(config: Any, directory: Path | None = None) -> SequencePlan | None:
    """None for a model without `sequence_batching`. ServerError where it makes no sense.

    `directory`: of the model, for files of initial states.
    """
    if not config.HasField("sequence_batching"):
        return None
    batching = config.sequence_batching
    controls = [
        _control(config.name, tensor.name, control)
        for tensor in batching.control_input
        for control in tensor.control
    ]
    for index, each in enumerate(controls):
        if any(each.control is other.control for other in controls[:index]):
            raise invalid(
                f"sequence batching specifies multiple {each.control.value} tensors for {config.name}"
            )
    states = tuple(_state(config.name, state, directory) for state in batching.state)
    idle_us = batching.max_sequence_idle_microseconds or DEFAULT_IDLE_US
    return SequencePlan(idle_us * 1_000, tuple(controls), states)


def _control(model: str, name: str, control: Any) -> ControlTensor:
    kind = Control(_Kind.Name(control.kind))
    if not name:
        raise invalid(f"sequence batching control tensor must have a name for {model}")
    if kind is Control.CORRID:
        wire = DataType.Name(control.data_type).removeprefix("TYPE_")
        if wire not in ("UINT64", "INT64", "UINT32", "INT32", "STRING"):
            raise invalid(
                f"unexpected data type for control {kind.value} for {model}, expected TYPE_UINT64, "
                "TYPE_INT64, TYPE_UINT32, TYPE_INT32 or TYPE_STRING"
            )
        return ControlTensor(name, kind, WIRE_TO_NUMPY["BYTES" if wire == "STRING" else wire])
    given = [(dtype, getattr(control, field)) for field, dtype in _VALUES.items() if getattr(control, field)]
    if len(given) != 1:
        raise invalid(
            "sequence batching must specify one of 'int32_false_true', 'fp32_false_true' or "
            f"'bool_false_true' for {kind.value} for {model}"
        )
    dtype, values = given[0]
    if len(values) != 2:
        raise invalid(
            f"sequence batching control 'false_true' must have exactly 2 entries for {kind.value} for {model}"
        )
    false, true = (np.array([value], dtype).tobytes() for value in values)
    return ControlTensor(name, kind, dtype, (false, true))


def _state(model: str, state: Any, directory: Path | None) -> StateTensor:
    dtype = _dtype(model, state.data_type)
    dims = tuple(state.dims)
    if not all(dim > 0 for dim in dims):
        raise invalid(f"state '{state.input_name}' of model '{model}' must have fixed dims, got {list(dims)}")
    if dtype == "object":
        initial = b"\0\0\0\0" * math.prod(dims)
    else:
        initial = bytes(math.prod(dims) * np.dtype(dtype).itemsize)
    if len(state.initial_state) > 1:
        raise invalid(f"state '{state.input_name}' of model '{model}' has more than one initial state")
    for given in state.initial_state:
        if given.data_file:
            initial = _initial_file(model, given.data_file, directory, None if dtype == "object" else initial)
    return StateTensor(state.input_name, state.output_name, dtype, dims, initial)


def _dtype(model: str, data_type: int) -> str:
    wire = DataType.Name(data_type).removeprefix("TYPE_")
    dtype = WIRE_TO_NUMPY.get("BYTES" if wire == "STRING" else wire)
    if dtype is None or dtype == "bfloat16":
        raise invalid(f"a state of model '{model}' must specify a 'data_type' that can be kept")
    return dtype


def _initial_file(model: str, filename: str, directory: Path | None, like: bytes | None) -> bytes:
    """Bytes of a file in the model's `initial_state` directory, as many as `like`."""
    if directory is None:
        return like or b""
    if "/" in filename or filename in ("", "..", "."):
        raise invalid(
            f"file name '{filename}' in the configuration of model '{model}' leads out of the model"
        )
    try:
        content = (directory / "initial_state" / filename).read_bytes()
    except OSError as error:
        raise invalid(
            f"failed to read the initial state '{filename}' of model '{model}': {error.strerror}"
        ) from error
    if like is not None and len(content) != len(like):
        raise invalid(
            f"initial state '{filename}' of model '{model}' has {len(content)} bytes, expected {len(like)}"
        )
    return content
