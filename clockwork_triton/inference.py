"""What a front end hands to the engine, and what comes back: no protocol, no workers."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

Buffer = bytes | memoryview


class Source(Protocol):
    """Bytes of an input that stay where they are until they are laid into a worker's memory."""

    def __len__(self) -> int: ...

    def read_into(self, target: memoryview) -> None:
        """Fills `target`, which is as long as the source. Raises nothing: who takes them cannot answer."""
        ...

    def part(self, start: int, length: int) -> Source: ...


InputData = bytes | memoryview | Source


def as_bytes(data: InputData) -> bytes:
    """A copy of an input's bytes, wherever they are."""
    if isinstance(data, bytes | memoryview):
        return bytes(data)
    content = bytearray(len(data))
    data.read_into(memoryview(content))
    return bytes(content)


@dataclass(frozen=True, slots=True)
class InferenceCall:
    """One validated inference.

    `inputs` are the raw bytes of every input of the model, in the model's order, row-major, little-endian.
    `rows` is the batch dimension, 1 for a model that does not batch. `deadline_ns` is absolute, on the
    monotonic clock; None: no deadline. `priority` 1 is the highest; 0 stands for the default. `shapes` of the
    inputs, batch dimension included, where the model leaves dimensions open.
    """

    model_id: int
    rows: int
    inputs: tuple[InputData, ...]
    arrival_ns: int
    deadline_ns: int | None
    priority: int = 0
    shapes: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True)
class InferenceAnswer:
    """The raw bytes of every output in the model's order, and where the time went.

    `executed_rows` is the size of the batch that ran, padding included; `action_id` is the same for all
    calls answered by one execution, so that executions can be counted. `shapes` of the outputs, batch
    dimension included, where the model is not compiled.
    """

    outputs: tuple[bytes, ...]
    action_id: int
    executed_rows: int
    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int
    shapes: tuple[tuple[int, ...], ...] | None = None


class InferenceEngine(Protocol):
    """What the data plane needs of the engine.

    `infer` raises ServerError: UNAVAILABLE "Request timeout expired" as soon as the deadline cannot be
    met, UNAVAILABLE when a worker was lost, INTERNAL when the device failed. Cancelling the awaiting task
    cancels the request if it has not been dispatched.
    """

    def infer(self, call: InferenceCall) -> Awaitable[InferenceAnswer]: ...

    def queued(self, model_id: int, priority: int) -> int:
        """How many calls of a model wait at a priority level, not counting those at a worker."""
        ...
