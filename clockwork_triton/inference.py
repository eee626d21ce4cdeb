"""What a front end hands to the engine, and what comes back: no protocol, no workers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple, Protocol

from clockwork_triton.errors import ServerError

Buffer = bytes | memoryview
BUFFER_TYPES = (bytes, memoryview)


class Source(Protocol):
    """Bytes of an input that stay where they are until they are laid into a worker's memory."""

    def __len__(self) -> int: ...

    def read_into(self, target: memoryview) -> None:
        """Fills `target`, which is as long as the source. Raises nothing: who takes them cannot answer."""
        ...

    def part(self, start: int, length: int) -> Source: ...


InputData = bytes | memoryview | Source


class Block(NamedTuple):
    """Memory of a front end that workers share: the inputs of a call from byte `place` of its arena on, and
    room for the outputs, laid out as an I/O slot of as many rows is."""

    arena: int
    place: int


def as_bytes(data: InputData) -> bytes:
    """A copy of an input's bytes, wherever they are."""
    if isinstance(data, bytes | memoryview):
        return bytes(data)
    content = bytearray(len(data))
    data.read_into(memoryview(content))
    return bytes(content)


class InferenceCall(NamedTuple):
    """One validated inference.

    `inputs` are the raw bytes of every input of the model, in the model's order, row-major, little-endian.
    `rows` is the batch dimension, 1 for a model that does not batch. `deadline_ns` is absolute, on the
    monotonic clock; None: no deadline. `priority` 1 is the highest; 0 stands for the default. `shapes` of the
    inputs, batch dimension included, where the model is not compiled. With a `block`, the tensors are there:
    `inputs` is empty, and so are the outputs of the answer.
    """

    model_id: int
    rows: int
    inputs: tuple[InputData, ...]
    arrival_ns: int
    deadline_ns: int | None
    priority: int = 0
    shapes: tuple[tuple[int, ...], ...] | None = None
    block: Block | None = None


class Moments(NamedTuple):
    """When an execution came to where, absolute on the server's monotonic clock, in this order: it was
    decided, its inputs were laid out and its action sent, the device began and ended, its result was here."""

    decided_ns: int
    sent_ns: int
    begin_ns: int
    end_ns: int
    returned_ns: int


class InferenceAnswer(NamedTuple):
    """The raw bytes of every output in the model's order, and where the time went.

    `executed_rows` is the size of the batch that ran, padding included; `action_id` is the same for all
    calls answered by one execution, of which one `leads`, so that executions can be counted. `shapes` of the
    outputs, batch dimension included, where the model is not compiled.
    """

    outputs: tuple[bytes, ...]
    action_id: int
    executed_rows: int
    queue_ns: int
    input_ns: int
    infer_ns: int
    output_ns: int
    moments: Moments
    shapes: tuple[tuple[int, ...], ...] | None = None
    leads: bool = True


Done = Callable[[InferenceAnswer | ServerError], None]
"""Told what became of a call: UNAVAILABLE "Request timeout expired" as soon as the deadline cannot be met,
UNAVAILABLE when a worker was lost, INTERNAL when the device failed."""


class InferenceEngine(Protocol):
    """What the data plane needs of the engine. Everything happens on the event loop's thread."""

    def submit(self, call: InferenceCall, done: Done) -> int:
        """Begins a call. `done` is called once, after this has returned, unless the number that is returned
        is given to `cancel` before."""
        ...

    def cancel(self, number: int) -> None:
        """Nobody waits for the call any more; it is given up if it has not been dispatched."""
        ...

    def up(self) -> bool:
        """Whether there is a worker to run anything."""
        ...

    def queued(self, model_id: int, priority: int) -> int:
        """How many calls of a model wait at a priority level, not counting those at a worker."""
        ...


async def answer_of(engine: InferenceEngine, call: InferenceCall) -> InferenceAnswer | ServerError:
    """What becomes of a call; cancelled with whoever waits for it."""
    answered: asyncio.Future[InferenceAnswer | ServerError] = asyncio.get_running_loop().create_future()

    def done(outcome: InferenceAnswer | ServerError) -> None:
        if not answered.done():
            answered.set_result(outcome)

    number = engine.submit(call, done)
    try:
        return await answered
    except asyncio.CancelledError:
        engine.cancel(number)
        raise
