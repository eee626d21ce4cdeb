"""A tensor is copied once on its way in, to the worker's memory, and once on its way out: whatever the engine
is given lies where it was received, and what it gives back is what is written."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.output import LARGE_BYTES
from clockwork_triton.frontend.http2_server import paths_of
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.service import InferenceService
from clockwork_triton.inference import InferenceAnswer
from clockwork_triton.telemetry.statistics import Statistics
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, run, served_model
from tests.frontend.http2.fakes import Client

PATH = (":path", "/inference.GRPCInferenceService/ModelInfer")


class Bench:
    """A client of a model that echoes `size` bytes, and what is given to its transport."""

    def __init__(self, size: int) -> None:
        self.size = size
        tensor = TensorSpec("x", "uint8", (size,))
        model = served_model("echo", [tensor], [TensorSpec("y", "uint8", (size,))])
        self.engine = FakeEngine(held=True)
        plane = DataPlane(FakeIndex([model]), self.engine, Statistics(), FakeClock())
        self.client = Client(
            paths_of(InferenceService(plane, ServerIdentity("", ""))), Limits(stream_window=1 << 21)
        )
        self.written: list[Any] = []
        write = self.client.transport.write

        def keep(data: Any) -> None:
            self.written.append(data)
            write(data)

        self.client.transport.write = keep  # type: ignore[method-assign]

    def ask(self) -> memoryview:
        """What of the request reaches the engine."""
        request = service_pb2.ModelInferRequest(model_name="echo", id="7")
        request.inputs.add(name="x", datatype="UINT8", shape=[1, self.size])
        request.raw_input_contents.append(bytes(range(256)) * (self.size // 256))
        self.client.call(1, request.SerializeToString(), PATH)
        ((call, _),) = self.engine.waiting
        (data,) = call.inputs
        assert isinstance(data, memoryview)
        assert bytes(data) == bytes(range(256)) * (self.size // 256)
        return data


@pytest.mark.parametrize("size", [8 << 10, 48 << 10, 1 << 20])
def test_inputs_stay_where_they_were_received(size: int) -> None:
    async def test() -> None:
        data = Bench(size).ask()
        received = data.obj
        # The bytes of the read, or the buffer that a message in pieces is received into: it is there whole.
        assert isinstance(received, bytes | np.ndarray)
        assert len(received) > size

    run(test())


def test_outputs_are_written_from_where_they_were_copied_to() -> None:
    async def test() -> None:
        size = LARGE_BYTES
        bench = Bench(size)
        bench.ask()
        output = bytes(size)
        call, number = bench.engine.waiting.pop()
        answer: InferenceAnswer = bench.engine.answer(call)._replace(outputs=(output,))
        bench.engine._tell(number, answer)
        bench.client.clock.turn()
        await asyncio.sleep(0)
        assert any(piece is output for piece in bench.written)

    run(test())
