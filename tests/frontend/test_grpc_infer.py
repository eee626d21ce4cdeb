"""ModelInfer through a real server and real clients."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.grpc_server import GrpcServer
from clockwork_triton.frontend.queries import ServerIdentity
from clockwork_triton.frontend.service import InferenceService
from tests.compatibility import covers
from tests.frontend.fakes import (
    LEVELS,
    FakeEngine,
    Harness,
    run,
    served_model,
    serving,
    simple,
    simple_inputs,
)
from tests.frontend.messages import infer_request, parameter


@asynccontextmanager
async def failing(status: grpc.StatusCode, details: str) -> AsyncIterator[None]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        yield
    assert (caught.value.code(), caught.value.details()) == (status, details)


@covers("RPC ModelInfer")
def test_sum_and_difference_with_the_synchronous_client() -> None:
    async def test() -> None:
        async with serving() as server:
            result = await server.in_thread(lambda c: c.infer("simple", simple_inputs(2), request_id="7"))
            response = result.get_response()
            assert (response.model_name, response.model_version, response.id) == ("simple", "1", "7")
            assert [output.name for output in response.outputs] == ["OUTPUT0", "OUTPUT1"]
            assert len(response.raw_output_contents) == 2
            assert "triton_final_response" not in response.parameters
            counted = np.arange(32, dtype=np.int32).reshape(2, 16)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), counted + 1)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), counted - 1)

    run(test())


@covers("RPC ModelInfer")
def test_a_hundred_at_once_with_the_asyncio_client() -> None:
    async def test() -> None:
        async with serving() as server:
            results = await asyncio.gather(
                *(server.client.infer("simple", simple_inputs(), request_id=str(i)) for i in range(100))
            )
            assert [result.get_response().id for result in results] == [str(i) for i in range(100)]
            assert len(server.engine.calls) == 100

    run(test())


def test_the_asynchronous_calls_of_the_synchronous_client() -> None:
    def work(client: triton.InferenceServerClient) -> list[str]:
        ids: list[str] = []
        ended = threading.Semaphore(0)

        def take(result: Any, error: Any) -> None:
            ids.append(str(error) if error else result.get_response().id)
            ended.release()

        for i in range(20):
            client.async_infer("simple", simple_inputs(), take, request_id=str(i))
        assert all(ended.acquire(timeout=20) for _ in range(20))
        return sorted(ids, key=int)

    async def test() -> None:
        async with serving() as server:
            assert await server.in_thread(work) == [str(i) for i in range(20)]

    run(test())


@covers("order of outputs", "different", "as asked for, where Triton gives them in the backend's order")
def test_the_outputs_asked_for_come_alone_and_in_that_order() -> None:
    async def test() -> None:
        async with serving() as server:
            for names in (["OUTPUT1"], ["OUTPUT1", "OUTPUT0"]):
                outputs = [triton.InferRequestedOutput(name) for name in names]
                result = await server.client.infer("simple", simple_inputs(), outputs=outputs)
                response = result.get_response()
                assert [output.name for output in response.outputs] == names
                assert len(response.raw_output_contents) == len(names)
                expected = np.arange(16, dtype=np.int32).reshape(1, 16) - 1
                np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), expected)

    run(test())


@pytest.mark.parametrize("raw", [True, False])
def test_raw_and_typed_contents(raw: bool) -> None:
    async def test() -> None:
        async with serving() as server:
            response = await server.stub.ModelInfer(infer_request(raw))
            total = np.frombuffer(response.raw_output_contents[0], np.int32)
            np.testing.assert_array_equal(total, np.arange(16) + 1)

    run(test())


@covers("messages up to INT32_MAX")
def test_messages_beyond_grpcs_usual_limit_of_4_mib() -> None:
    async def test() -> None:
        specs = [TensorSpec(name, "float32", (3_000_000,)) for name in ("IN", "OUT")]
        model = served_model("big", specs[:1], specs[1:], max_batch_size=0)
        async with serving(model) as server:
            data = np.arange(3_000_000, dtype=np.float32)
            tensor = triton.InferInput("IN", list(data.shape), "FP32")
            tensor.set_data_from_numpy(data)
            result = await server.in_thread(lambda c: c.infer("big", [tensor]))
            np.testing.assert_array_equal(result.as_numpy("OUT"), data)

    run(test())


def test_every_code_has_its_status() -> None:
    async def test() -> None:
        engine = FakeEngine()
        async with serving(engine=engine) as server:
            for code, status in (
                (Code.INVALID_ARG, grpc.StatusCode.INVALID_ARGUMENT),
                (Code.NOT_FOUND, grpc.StatusCode.NOT_FOUND),
                (Code.UNAVAILABLE, grpc.StatusCode.UNAVAILABLE),
                (Code.UNSUPPORTED, grpc.StatusCode.UNIMPLEMENTED),
                (Code.INTERNAL, grpc.StatusCode.INTERNAL),
                (Code.ALREADY_EXISTS, grpc.StatusCode.ALREADY_EXISTS),
                (Code.CANCELLED, grpc.StatusCode.CANCELLED),
                (Code.UNKNOWN, grpc.StatusCode.UNKNOWN),
            ):
                engine.error = ServerError(code, f"because of {code.value}")
                async with failing(status, f"because of {code.value}"):
                    await server.stub.ModelInfer(infer_request())

    run(test())


@covers("error codes and messages of inferences")
def test_errors_reach_tritonclient_to_the_letter() -> None:
    async def test() -> None:
        async with serving() as server:
            with pytest.raises(InferenceServerException) as caught:
                await server.in_thread(lambda c: c.infer("simple", simple_inputs()[:1], request_id="a"))
            assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
            assert caught.value.message() == (
                "[request id: a] expected 2 inputs but got 1 inputs for model 'simple'. "
                "Got input(s) ['INPUT0'], but missing required input(s) ['INPUT1']. "
                "Please provide all required input(s)."
            )

    run(test())


def test_errors_that_are_long_or_odd_arrive_all_the_same() -> None:
    async def test() -> None:
        async with serving() as server:
            for name in ("n" * 100_000, "é\n%\x00" * 30_000, "é\n%"):
                request = infer_request()
                request.model_name = name
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await server.stub.ModelInfer(request)
                assert caught.value.code() is grpc.StatusCode.NOT_FOUND
                details = caught.value.details() or ""
                assert details.startswith(f"Request for unknown model: '{name[:3]}")

    run(test())


def test_bytes_that_are_no_message_are_an_invalid_argument() -> None:
    async def test() -> None:
        async with serving() as server:
            infer = server.channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            message = "the request is not a valid ModelInferRequest message"
            async with failing(grpc.StatusCode.INVALID_ARGUMENT, message):
                await infer(b"\xff\xff\xff")
            assert await server.client.is_server_live()

    run(test())


@covers(
    "parameter timeout",
    "different",
    "always honoured, execution included, where Triton honours it in the queue of a model that allows it",
)
def test_the_timeout_parameter_is_a_deadline() -> None:
    async def test() -> None:
        async with serving() as server:
            await server.client.infer("simple", simple_inputs(), timeout=1500)
            (call,) = server.engine.calls
            assert call.deadline_ns == call.arrival_ns + 1_500_000

    run(test())


@covers("gRPC deadlines", "different", "part of the request's budget, where Triton sees a cancellation")
def test_grpcs_deadline_is_one_too() -> None:
    async def test() -> None:
        async with serving() as server:
            await server.client.infer("simple", simple_inputs(), client_timeout=1000)
            await server.client.infer("simple", simple_inputs(), client_timeout=1000, timeout=1500)
            await server.client.infer("simple", simple_inputs())
            budgets = [c.deadline_ns and c.deadline_ns - c.arrival_ns for c in server.engine.calls]
            # gRPC rounds up what it sends, by one part in a hundred at most.
            assert 900 * 10**9 < (budgets[0] or 0) <= 1010 * 10**9
            assert budgets[1:] == [1_500_000, None]

    run(test())


def test_a_refusal_says_that_the_timeout_expired() -> None:
    async def test() -> None:
        engine = FakeEngine()
        engine.error = ServerError(Code.UNAVAILABLE, "Request timeout expired")
        async with serving(engine=engine) as server:
            with pytest.raises(InferenceServerException) as caught:
                await server.client.infer("simple", simple_inputs(), timeout=1)
            assert caught.value.status() == "StatusCode.UNAVAILABLE"
            assert caught.value.message() == "Request timeout expired"

    run(test())


@covers("priority levels")
def test_priority_is_passed_on() -> None:
    async def test() -> None:
        async with serving(simple(queue=LEVELS)) as server:
            await server.client.infer("simple", simple_inputs(), priority=2)
            request = infer_request(parameters={"priority": parameter(int64_param=1)})
            await server.stub.ModelInfer(request)
            assert [call.priority for call in server.engine.calls] == [2, 1]

    run(test())


@covers("cancellation")
def test_a_client_that_cancels_cancels_the_engines_call() -> None:
    async def test() -> None:
        engine = FakeEngine(held=True)
        async with serving(engine=engine) as server:
            call = server.stub.ModelInfer(infer_request())
            await engine.until_waiting(1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await engine.until(lambda: engine.cancelled == 1)
            assert await server.client.is_server_live()

    run(test())


def test_a_client_that_gives_up_cancels_the_engines_call() -> None:
    async def test() -> None:
        engine = FakeEngine(held=True)
        async with serving(engine=engine) as server:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await server.stub.ModelInfer(infer_request(), timeout=0.2)
            assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
            # Refused at once if it took that long to arrive, cancelled if not.
            await engine.until(lambda: engine.cancelled == len(engine.calls))

    run(test())


def test_draining_ends_what_is_under_way_and_refuses_what_is_new() -> None:
    async def finish(server: Harness, engine: FakeEngine) -> None:
        under_way = server.stub.ModelInfer(infer_request(id="old"))
        await engine.until_waiting(1)
        server.plane.stop_accepting()
        message = "GRPC server is shutting down and has stopped accepting new requests."
        async with failing(grpc.StatusCode.UNAVAILABLE, message):
            await server.stub.ModelInfer(infer_request())
        assert not await server.client.is_server_ready()
        engine.release()
        assert (await under_way).id == "old"
        await server.plane.drained()

    async def test() -> None:
        engine = FakeEngine(held=True)
        async with serving(simple(), engine=engine) as server:
            await finish(server, engine)

    run(test())


def test_a_port_that_is_taken_is_an_error() -> None:
    async def test() -> None:
        async with serving() as server:
            other = GrpcServer(InferenceService(server.plane, ServerIdentity("other", "0")))
            with pytest.raises(OSError, match="cannot listen for gRPC on "):
                await other.start(server.address)
            await other.stop(None)

    run(test())
