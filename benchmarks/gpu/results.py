"""What the steps of a check find, as records that travel from a step's process as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, get_args

import numpy as np


@dataclass(frozen=True)
class Times:
    """Of `count` runs, in microseconds; percentiles by the nearest rank."""

    count: int
    p50: float
    p99: float
    p9999: float
    longest: float

    @classmethod
    def of(cls, durations_ns: Sequence[int]) -> Times:
        ordered = np.sort(np.asarray(durations_ns)) / 1e3

        def rank(percent: float) -> float:
            return float(ordered[max(0, int(np.ceil(percent / 100 * len(ordered))) - 1)])

        return cls(len(ordered), rank(50), rank(99), rank(99.99), float(ordered[-1]))

    @property
    def spread(self) -> float:
        """How far p99.99 is from the median, as a part of it."""
        return self.p9999 / self.p50 - 1


@dataclass(frozen=True)
class InferTimes:
    """Of the same INFERs: `gpu`, the execution by the GPU's own events, which is the INFER time that is
    predicted; `wall`, by the worker's clock from the call to when the kernels were seen to have run;
    `answer`, by the same clock from the arrival, when its inputs are on their way, to the outputs in the
    slot."""

    gpu: Times
    wall: Times
    answer: Times


@dataclass(frozen=True)
class Machine:
    """That there is a GPU, and what is known of it; more may follow in another record."""

    facts: dict[str, Any]


@dataclass(frozen=True)
class Findings:
    """The doctor's, where not all is good."""

    findings: list[dict[str, Any]]


@dataclass(frozen=True)
class Infer:
    """INFERs from `slots` I/O slots in turn. `difference` from ONNX Runtime, relative to the output's largest
    magnitude, None where weights are random; `allowed`: how much of it. `over`, `under`: the 99th percentiles
    of how much shorter and longer an INFER was than predicted, in microseconds. `copies`: of inputs and
    outputs together, at the median; `around`: what an answer took beside the execution, copies included, on
    average."""

    model: str
    batch: int
    slots: int
    launches: int
    difference: float | None
    allowed: float
    times: InferTimes
    over: float
    under: float
    copies: float
    around: float


@dataclass(frozen=True)
class OneSlot:
    """INFERs from the same I/O slot, so that no address changes."""

    model: str
    batch: int
    times: InferTimes


@dataclass(frozen=True)
class Load:
    """`still`: to the pages where the weights are already, `moved`: to others by turns, of `size` bytes.
    `raw_rate`: of one pinned copy of as many, in GB/s. `memory`: bytes that the device took, by what for;
    `unaccounted`: what the driver has less than before besides."""

    model: str
    size: int
    still: Times
    moved: Times
    raw_rate: float
    memory: dict[str, int]
    unaccounted: int

    def rate(self, times: Times) -> float:
        """In GB/s, at the median."""
        return self.size / (times.p50 * 1e3)


@dataclass(frozen=True)
class Busy:
    """INFERs while another model is LOADed over and over, `loads` of them meanwhile."""

    model: str
    batch: int
    times: InferTimes
    loads: int


@dataclass(frozen=True)
class Registering:
    """INFERs alone, and beside another model that is registered over and over, `registrations` times
    meanwhile."""

    model: str
    batch: int
    quiet: InferTimes
    times: InferTimes
    registrations: int


@dataclass(frozen=True)
class Plain:
    """INFERs that are launched kernel by kernel in place of as a graph."""

    model: str
    batch: int
    times: InferTimes


@dataclass(frozen=True)
class Torch:
    """PyTorch's median of a forward pass, in microseconds, by one way of running it."""

    model: str
    batch: int
    way: str
    us: float


@dataclass(frozen=True)
class Served:
    """What perf_analyzer measured. `execution_ms`, where requests come one by one: of the INFERs that
    answered them, at the median."""

    model: str
    concurrency: int
    per_second: float
    p50_ms: float
    p99_ms: float
    execution_ms: float | None


@dataclass(frozen=True)
class Suite:
    """`line`: pytest's last."""

    line: str
    passed: bool


@dataclass(frozen=True)
class Failure:
    """Something that could not be measured. `what` begins with the step's name."""

    what: str
    reason: str


Record = (
    Machine
    | Findings
    | Infer
    | OneSlot
    | Load
    | Busy
    | Registering
    | Plain
    | Torch
    | Served
    | Suite
    | Failure
)
KINDS: dict[str, Any] = {kind.__name__: kind for kind in get_args(Record)}
NESTED: dict[str, Any] = {"Times": Times, "InferTimes": InferTimes}
"""What fields of records may be, by the name of their type."""


def to_line(record: Record) -> str:
    return json.dumps({"record": type(record).__name__, **asdict(record)}) + "\n"


def from_line(line: str) -> Record:
    """Inverse of `to_line`. ValueError or KeyError if the line is none, or was cut short."""
    fields = json.loads(line)
    found: Record = _of(KINDS[fields.pop("record")], fields)
    return found


def _of(kind: Any, fields: dict[str, Any]) -> Any:
    for field in kind.__dataclass_fields__.values():
        if field.type in NESTED:
            fields[field.name] = _of(NESTED[field.type], fields[field.name])
    return kind(**fields)
