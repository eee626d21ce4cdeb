"""An inference as every protocol sees it, between the protocols' codecs and the data plane.

Named tuples rather than dataclasses: they are as immutable and cost a third to make, on the hot path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from clockwork_triton.frontend.sequences import NO_SEQUENCE, SequenceTag
from clockwork_triton.frontend.shared_memory import RegionPart
from clockwork_triton.inference import Buffer, InferenceAnswer
from clockwork_triton.telemetry.trace import Trace

ParameterValue = bool | int | float | str


class InputTensor(NamedTuple):
    """`datatype` as on the wire ("FP32"), `shape` with the batch dimension.

    `data`: little-endian, row-major; a memoryview must be one-dimensional and of bytes. BYTES elements are
    each preceded by their length in four bytes, and are never left in shared memory: they are read twice.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: Buffer | RegionPart


class OutputOption(NamedTuple):
    """What is to become of an output instead of being sent as it is.

    `classes` above 0: the names of so many of its greatest elements. `region`: written there, and not sent.
    """

    name: str
    classes: int = 0
    region: RegionPart | None = None


class InferRequest(NamedTuple):
    """`outputs`: the names asked for, in the order of the answer; empty means all.

    `timeout_us` counts from arrival; 0 or less means none was given. `priority` 0 is the default level.
    `parameters` are those that the server itself gives no meaning. `options` are about some of the outputs.
    `parts`: the pieces of shared memory that have been taken for the request's tensors.
    """

    inputs: Sequence[InputTensor]
    outputs: tuple[str, ...] = ()
    id: str = ""
    timeout_us: int = 0
    priority: int = 0
    parameters: Mapping[str, ParameterValue] = {}
    options: Sequence[OutputOption] = ()
    parts: Sequence[RegionPart] = ()
    sequence: SequenceTag = NO_SEQUENCE


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
    """`data` holds the bytes of `layout.tensors`, in their order.

    `trace`, where the request is traced, is to be ended by whoever sends the response. `times`: where the
    time of its execution went; None where the answer was kept from another.
    """

    layout: ResponseLayout
    id: str
    data: Sequence[bytes]
    trace: Trace | None = None
    times: InferenceAnswer | None = None
