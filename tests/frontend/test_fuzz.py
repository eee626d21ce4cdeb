"""Whatever message comes in over gRPC, or whatever bytes on the metrics port, is answered, and never with an
error of the server's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from hypothesis import given, settings
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.facilities import Facilities
from clockwork_triton.frontend.handlers import Call
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.service import InferenceService
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.telemetry.statistics import Statistics
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, run, simple
from tests.frontend.messages import infer_request
from tests.frontend.test_grpc_operations import FakeControl
from tests.frontend.test_metrics_http import exchange, serving

PREFIX = "/inference.GRPCInferenceService/"
METHODS = list(service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods)
WORDS = ["simple", "1", "INPUT0", "INPUT1", "OUTPUT0", "INT32", "BYTES", "FP16", "priority", "timeout", ""]
WORDS += ["shared_memory_region", "shared_memory_byte_size", "classification", "trace_level", "config"]
TEXTS = st.sampled_from(WORDS) | st.text(max_size=6)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1) | st.integers(-1, 20),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1) | st.integers(-1, 20),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1) | st.integers(0, 20),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**64 - 1) | st.integers(0, 20),
    FieldDescriptor.CPPTYPE_FLOAT: st.floats(width=32),
    FieldDescriptor.CPPTYPE_DOUBLE: st.floats(),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-1, 20),
}


def scalar(field: Any) -> st.SearchStrategy[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return TEXTS if field.type == FieldDescriptor.TYPE_STRING else st.binary(max_size=80)
    return SCALARS[field.cpp_type]


def fill(draw: st.DrawFn, message: Any, depth: int = 0) -> None:
    """Sets some fields, in messages within it too."""
    for field in message.DESCRIPTOR.fields:
        if not draw(st.booleans()):
            continue
        entry = field.message_type
        if entry is not None and entry.GetOptions().map_entry:
            values = getattr(message, field.name)
            key = draw(scalar(entry.fields_by_name["key"]))
            value = entry.fields_by_name["value"]
            if value.message_type is None:
                values[key] = draw(scalar(value))
            else:
                fill(draw, values[key], depth + 1)
        elif entry is not None:
            if depth < 4:
                inner = getattr(message, field.name)
                fill(draw, inner.add() if field.is_repeated else inner, depth + 1)
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(scalar(field), max_size=3)))
        else:
            setattr(message, field.name, draw(scalar(field)))


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, bytes]:
    method = draw(st.sampled_from(METHODS))
    message = getattr(service_pb2, method.input_type.name)()
    if method.name in ("ModelInfer", "ModelStreamInfer") and draw(st.booleans()):
        message = infer_request(draw(st.booleans()))
    fill(draw, message)
    return method.name, message.SerializeToString()


def service() -> InferenceService:
    facilities = Facilities(SharedMemory(allowed=True), control=FakeControl())
    plane = DataPlane(FakeIndex([simple()]), FakeEngine(), Statistics(), FakeClock(), facilities=facilities)
    return InferenceService(plane, ServerIdentity("triton", "0"))


def check(error: ServerError) -> None:
    # FakeControl's own failure is the one internal error there is.
    assert error.code is not Code.INTERNAL or "failed to load" in error.message, error.message


@settings(max_examples=300)
@given(requests())
def test_messages_of_every_kind(request: tuple[str, bytes]) -> None:
    name, data = request

    async def answers() -> AsyncIterator[bytes]:
        yield data

    async def test() -> None:
        made = service()
        call = Call(0, None)
        try:
            if name == "ModelStreamInfer":
                replies = [reply async for reply in made.streams[PREFIX + name](answers(), call)]
                service_pb2.ModelStreamInferResponse.FromString(replies[0])
                assert len(replies) == 1
            else:
                await made.unary[PREFIX + name](data, call)
        except ServerError as error:
            check(error)

    run(test())


@settings(max_examples=30, deadline=None)
@given(
    st.lists(
        st.binary(max_size=40) | st.sampled_from([b"GET ", b"/metrics", b" HTTP/1.1", b"\r\n", b"\r\n\r\n"])
    )
)
def test_bytes_on_the_metrics_port(pieces: list[bytes]) -> None:
    async def test() -> None:
        async with serving(patience_s=0.02) as (_, port):
            answer = await exchange(port, b"".join(pieces))
            assert not answer or answer.startswith(b"HTTP/1.1 ")
            good = await exchange(port, b"GET /metrics HTTP/1.1\r\n\r\n")
            assert good.startswith(b"HTTP/1.1 200 OK\r\n")

    asyncio.run(asyncio.wait_for(test(), 30))
