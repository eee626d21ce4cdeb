"""Whatever bytes come in, the service answers or raises ServerError."""

from __future__ import annotations

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.handlers import Call
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.restriction import Restriction
from clockwork_triton.frontend.service import InferenceService
from clockwork_triton.telemetry.statistics import Statistics
from tests.compatibility import covers
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, run, serving, simple
from tests.frontend.messages import infer_request

INFER = "/inference.GRPCInferenceService/ModelInfer"


def service() -> InferenceService:
    plane = DataPlane(FakeIndex([simple()]), FakeEngine(), Statistics(), FakeClock())
    return InferenceService(plane, ServerIdentity("triton", "0"))


async def attempt(path: str, data: bytes) -> ServerError | None:
    try:
        await service().unary[path](data, Call(0, None))
    except ServerError as error:
        return error
    return None


def test_every_rpc_has_a_handler() -> None:
    made = service()
    methods = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].methods
    paths = {f"/inference.GRPCInferenceService/{method.name}" for method in methods}
    assert set(made.unary) | set(made.streams) == paths | {"/grpc.health.v1.Health/Check"}
    assert len(paths) == 20


@pytest.mark.parametrize("path", sorted(service().unary))
def test_bytes_that_are_no_message(path: str) -> None:
    async def test() -> None:
        error = await attempt(path, b"\x0a\xff")
        assert error is not None
        assert error.code in (Code.INVALID_ARG, Code.UNSUPPORTED)

    run(test())


def test_names_that_are_not_utf8() -> None:
    async def test() -> None:
        error = await attempt(INFER, b"\x0a\x02\xff\xfe")
        assert error is not None
        assert error.message == "the request is not a valid ModelInferRequest message"

    run(test())


@given(st.data())
def test_damaged_requests(data: st.DataObject) -> None:
    message = bytearray(infer_request(id="7").SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))

    async def test() -> None:
        error = await attempt(INFER, bytes(message))
        assert error is None or error.code is not Code.INTERNAL

    run(test())


@covers("--grpc-restricted-protocol")
@pytest.mark.parametrize("header", [[], [("triton-grpc-protocol-admin", "wrong")]])
def test_restricted_rpcs_need_their_header(header: list[tuple[str, str]]) -> None:
    async def test() -> None:
        restrictions = {"health": Restriction("triton-grpc-protocol-admin", "secret")}
        restrictions["inference"] = restrictions["health"]
        async with serving(restrictions=restrictions) as server:
            key = [("triton-grpc-protocol-admin", "secret")]
            live = service_pb2.ServerLiveRequest()
            assert (await server.stub.ServerLive(live, metadata=key)).live
            assert await server.client.get_server_metadata()
            stream = server.stub.ModelStreamInfer(metadata=header)
            for call in (
                server.stub.ServerLive(live, metadata=header),
                server.stub.ModelInfer(infer_request(), metadata=header),
                stream.read(),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call
                assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
                assert caught.value.details() == (
                    "This protocol is restricted, expecting header 'triton-grpc-protocol-admin'"
                )
            stream = server.stub.ModelStreamInfer(metadata=key)
            await stream.write(infer_request())
            assert (await stream.read()).error_message == ""
            await stream.done_writing()

    run(test())


@pytest.mark.parametrize(("waited_ms", "code"), [(26, Code.UNAVAILABLE), (24, Code.INVALID_ARG)])
def test_what_waited_for_a_quarter_of_its_budget_is_refused_before_it_is_decoded(
    waited_ms: int, code: Code
) -> None:
    message = infer_request()
    message.parameters["timeout"].int64_param = 100_000
    del message.raw_input_contents[:]

    async def test() -> None:
        made = service()
        arrival_ns = made.plane.clock() - waited_ms * 1_000_000
        with pytest.raises(ServerError) as raised:
            await made.unary[INFER](message.SerializeToString(), Call(arrival_ns, None))
        assert raised.value.code is code
        failures = made.plane.model("simple", "").statistics.fail.count
        assert failures == (code is Code.UNAVAILABLE)

    run(test())
