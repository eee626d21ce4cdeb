"""An engine, an index and a clock under the tests' control, and a server over them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.grpc import model_config_pb2, service_pb2_grpc

from clockwork_triton.datatypes import NUMPY_TO_WIRE, TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.grpc_server import GrpcServer
from clockwork_triton.frontend.http2_server import Http2Server
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.service import InferenceService
from clockwork_triton.inference import Done, InferenceAnswer, InferenceCall, Moments, as_bytes
from clockwork_triton.repository.model import IndexEntry, ServedModel, State
from clockwork_triton.repository.queue_policy import QueuePolicies, QueuePolicy
from clockwork_triton.telemetry.statistics import Statistics

T = TypeVar("T")

TRANSPORTS: dict[str, Callable[[InferenceService], GrpcServer | Http2Server]] = {
    "grpcio": GrpcServer,
    "http2": Http2Server,
}
transport = "grpcio"
"""Over which `serving` serves: set by conftest."""


class FakeClock:
    def __init__(self, now_ns: int = 1_000_000_000) -> None:
        self.now_ns = now_ns

    def __call__(self) -> int:
        return self.now_ns


def served_model(
    name: str,
    inputs: list[TensorSpec],
    outputs: list[TensorSpec],
    *,
    version: int = 1,
    model_id: int = 1,
    max_batch_size: int = 8,
    batch_sizes: tuple[int, ...] = (1, 2, 4, 8),
    default_timeout_ns: int | None = None,
    queue: QueuePolicies | None = None,
    config: Any = None,
    cached: bool = False,
) -> ServedModel:
    if config is None:
        config = model_config_pb2.ModelConfig(
            name=name, platform="onnxruntime_onnx", backend="onnxruntime", max_batch_size=max_batch_size
        )
        for spec, tensors in [(s, config.input) for s in inputs] + [(s, config.output) for s in outputs]:
            wire = NUMPY_TO_WIRE[spec.dtype]
            kind = "TYPE_STRING" if wire == "BYTES" else f"TYPE_{wire}"
            tensors.add(name=spec.name, dims=spec.shape, data_type=kind)
    config.response_cache.enable = cached
    return ServedModel(
        name,
        version,
        model_id,
        config,
        tuple(inputs),
        tuple(outputs),
        max_batch_size,
        queue or QueuePolicies({0: QueuePolicy(default_timeout_ns)}),
        batch_sizes if max_batch_size else (),
    )


LEVELS = QueuePolicies({1: QueuePolicy(1_000_000), 2: QueuePolicy(), 3: QueuePolicy(None, 2)}, 2)
"""Three priority levels: one with a budget of a millisecond, one with a queue of two."""


def simple(**changes: Any) -> ServedModel:
    """Triton's example: the sum and the difference of two INT32[16]."""
    specs = [TensorSpec(name, "int32", (16,)) for name in ("INPUT0", "INPUT1", "OUTPUT0", "OUTPUT1")]
    return served_model("simple", specs[:2], specs[2:], **changes)


@dataclass
class FakeIndex:
    models: list[ServedModel]
    others: list[IndexEntry] = field(default_factory=list)
    ready: bool = True

    def lookup(self, name: str, version: str) -> ServedModel:
        found = [m for m in self.models if m.name == name]
        if version == "x":
            raise ServerError(Code.INVALID_ARG, "failed to get model version")
        if not found:
            raise ServerError(Code.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        matching = [m for m in found if version in ("", str(m.version))]
        if not matching:
            raise ServerError(
                Code.UNAVAILABLE,
                f"Request for unknown model: '{name}' version {version} is not at ready state",
            )
        return max(matching, key=lambda m: m.version)

    def served(self) -> list[ServedModel]:
        return self.models

    def entries(self) -> list[IndexEntry]:
        ready = [IndexEntry(m.name, str(m.version), State.READY) for m in self.models]
        return ready + self.others

    def all_ready(self) -> bool:
        return self.ready


class FakeEngine:
    """Computes sum and difference (or, with one input, echoes) in the next turn, or when the test says so.

    With `held` every call waits in `waiting` until the test calls `release` or `fail`.
    """

    def __init__(self, *, held: bool = False) -> None:
        self.held = held
        self.calls: list[InferenceCall] = []
        self.waiting: list[tuple[InferenceCall, int]] = []
        self.cancelled = 0
        self.error: Exception | None = None
        self.down = False
        self.on_call: Callable[[InferenceCall], None] = lambda call: None
        self._done: dict[int, Done] = {}
        self._numbers = itertools.count(1)
        self._changed = asyncio.Event()

    def submit(self, call: InferenceCall, done: Done) -> int:
        self.calls.append(call)
        self.on_call(call)
        number = next(self._numbers)
        if self.error is not None and not isinstance(self.error, ServerError):
            raise self.error
        self._done[number] = done
        if self.error is not None:
            asyncio.get_running_loop().call_soon(self._tell, number, self.error)
        elif self.held:
            self.waiting.append((call, number))
            self._changed.set()
        else:
            asyncio.get_running_loop().call_soon(self._tell, number, self.answer(call))
        return number

    def cancel(self, number: int) -> None:
        if self._done.pop(number, None) is not None:
            self.cancelled += 1
            self._changed.set()

    def _tell(self, number: int, outcome: InferenceAnswer | ServerError) -> None:
        done = self._done.pop(number, None)
        if done is not None:
            done(outcome)

    def up(self) -> bool:
        return not self.down

    def queued(self, model_id: int, priority: int) -> int:
        return len(self.waiting)

    async def until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._changed.clear()
            await self._changed.wait()

    async def until_waiting(self, count: int) -> None:
        await self.until(lambda: len(self.waiting) >= count)

    def release(self, place: int = 0, **answer: Any) -> None:
        call, number = self.waiting.pop(place)
        self._tell(number, self.answer(call, **answer))

    def fail(self, error: ServerError, place: int = 0) -> None:
        self._tell(self.waiting.pop(place)[1], error)

    def answer(self, call: InferenceCall, **changes: Any) -> InferenceAnswer:
        if len(call.inputs) == 2:
            arrays = [np.frombuffer(as_bytes(data), np.int32) for data in call.inputs]
            outputs = ((arrays[0] + arrays[1]).tobytes(), (arrays[0] - arrays[1]).tobytes())
        else:
            outputs = tuple(as_bytes(data) for data in call.inputs)
        facts = {
            "action_id": len(self.calls),
            "executed_rows": call.rows,
            "queue_ns": 1000,
            "input_ns": 10,
            "infer_ns": 100,
            "output_ns": 1,
            "moments": Moments(1, 2, 3, 4, 5),
        }
        return InferenceAnswer(outputs, **(facts | changes))


@dataclass
class Harness:
    plane: DataPlane
    index: FakeIndex
    engine: FakeEngine
    statistics: Statistics
    address: str
    client: triton_aio.InferenceServerClient
    channel: grpc.aio.Channel
    stub: Any

    async def in_thread(self, work: Callable[[triton.InferenceServerClient], T]) -> T:
        """Runs `work` with the synchronous client."""

        def run() -> T:
            with triton.InferenceServerClient(self.address) as client:
                return work(client)

        return await asyncio.to_thread(run)


@asynccontextmanager
async def serving(
    *models: ServedModel,
    engine: FakeEngine | None = None,
    clock: Any = None,
    restrictions: Any = None,
    **options: Any,
) -> AsyncIterator[Harness]:
    engine = engine or FakeEngine()
    index = FakeIndex(list(models or (simple(),)))
    statistics = Statistics()
    plane = DataPlane(index, engine, statistics, clock or FakeClock(), **options)
    server = TRANSPORTS[transport](InferenceService(plane, ServerIdentity("triton", "1.2.3"), restrictions))
    address = f"127.0.0.1:{await server.start('127.0.0.1:0')}"
    options_ = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    try:
        async with (
            triton_aio.InferenceServerClient(address) as client,
            grpc.aio.insecure_channel(address, options=options_) as channel,
        ):
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            yield Harness(plane, index, engine, statistics, address, client, channel, stub)
    finally:
        await server.stop(None)


def run(test: Coroutine[Any, Any, None]) -> None:
    """Runs a test's coroutine; one that hangs fails rather than blocking the suite."""
    asyncio.run(asyncio.wait_for(test, 30))


def simple_inputs(rows: int = 1, kind: Any = triton, **changes: Any) -> list[Any]:
    """INPUT0 counts up from 0, INPUT1 is all ones."""
    arrays = {
        "INPUT0": np.arange(rows * 16, dtype=np.int32).reshape(rows, 16),
        "INPUT1": np.ones((rows, 16), dtype=np.int32),
    }
    inputs = []
    for name, data in arrays.items():
        tensor = kind.InferInput(name, list(data.shape), "INT32")
        tensor.set_data_from_numpy(data)
        inputs.append(tensor)
    return inputs
