"""An inference as every protocol sees it, between the protocols' codecs and the data plane.

Named tuples rather than dataclasses: they are as immutable and cost a third to make, on the hot path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clockwork_triton.inference import Buffer

ParameterValue = bool | int | float | str


class InputTensor(NamedTuple):
    """`datatype` as on the wire ("FP32"), `shape` with the batch dimension.

    `data`: little-endian, row-major; a memoryview must be one-dimensional and of bytes. BYTES elements are
    each preceded by their length in four bytes.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Buffer


class InferRequest(NamedTuple):
    """`outputs`: the names asked for, in the order of the answer; empty means all.

    `timeout_us` counts from arrival; 0 or less means none was given. `priority` 0 is the default level.
    `parameters` are those that the server itself gives no meaning.
    """

    inputs: Sequence[InputTensor]
    outputs: tuple[str, ...] = ()
    id: str = ""
    timeout_us: int = 0
    priority: int = 0
    parameters: Mapping[str, ParameterValue] = {}


class OutputTensor(NamedTuple):
    name: str
    datatype: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class ResponseLayout:
    """All of a response but its id and its data: shared by all responses alike, so that codecs can keep
    what they make of it (it is hashed by identity)."""

    model_name: str
    model_version: str
    tensors: tuple[OutputTensor, ...]


class InferResponse(NamedTuple):
    """`data` holds the bytes of `layout.tensors`, in their order."""

    layout: ResponseLayout
    id: str
    data: Sequence[bytes]
