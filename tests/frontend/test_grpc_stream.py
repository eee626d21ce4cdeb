"""ModelStreamInfer through a real server."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import grpc
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from tests.compatibility import covers
from tests.frontend.fakes import FakeEngine, run, serving, simple_inputs
from tests.frontend.messages import infer_request, parameter


@covers("RPC ModelStreamInfer")
@covers("triton_final_response")
def test_answers_come_in_order_and_are_final() -> None:
    async def test() -> None:
        engine = FakeEngine(held=True)
        async with serving(engine=engine) as server:
            stream = server.stub.ModelStreamInfer()
            for i in range(3):
                await stream.write(infer_request(id=str(i)))
            await engine.until_waiting(3)
            for place in (2, 1, 0):
                engine.release(place)
            await stream.done_writing()
            answers = [answer async for answer in stream]
            assert [answer.infer_response.id for answer in answers] == ["0", "1", "2"]
            for answer in answers:
                assert answer.error_message == ""
                assert answer.infer_response.parameters["triton_final_response"].bool_param
                assert len(answer.infer_response.raw_output_contents) == 2

    run(test())


@covers("errors in a stream")
def test_an_error_takes_its_place_and_the_stream_goes_on() -> None:
    async def test() -> None:
        async with serving() as server:
            stream = server.stub.ModelStreamInfer()
            wrong = infer_request(id="1")
            wrong.inputs[0].datatype = "FP32"
            for request in (infer_request(id="0"), wrong, infer_request(id="2")):
                await stream.write(request)
            await stream.done_writing()
            answers = [answer async for answer in stream]
            assert [answer.infer_response.id for answer in answers] == ["0", "1", "2"]
            assert answers[1].error_message == (
                "[request id: 1] inference input 'INPUT0' data-type is 'FP32', "
                "but model 'simple' expects 'INT32'"
            )
            assert answers[1].infer_response == service_pb2.ModelInferResponse(id="1")
            assert answers[2].error_message == ""

    run(test())


@covers("errors in a stream")
def test_a_request_that_failed_in_execution_names_its_model() -> None:
    async def test() -> None:
        engine = FakeEngine()
        engine.error = ServerError(Code.UNAVAILABLE, "Request timeout expired")
        async with serving(engine=engine) as server:
            stream = server.stub.ModelStreamInfer()
            await stream.write(infer_request(id="7", model_version="1"))
            await stream.done_writing()
            (answer,) = [answer async for answer in stream]
            assert answer.error_message == "Request timeout expired"
            response = answer.infer_response
            assert (response.id, response.model_name, response.model_version) == ("7", "simple", "1")
            assert response.parameters["triton_final_response"].bool_param

    run(test())


@covers("triton_grpc_error")
def test_an_error_ends_a_stream_that_asked_for_it() -> None:
    async def test() -> None:
        async with serving() as server:
            stream = server.stub.ModelStreamInfer(metadata=(("triton_grpc_error", "true"),))
            server.engine.error = ServerError(Code.UNAVAILABLE, "Request timeout expired")
            await stream.write(infer_request())
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
            assert caught.value.details() == "Request timeout expired"

    run(test())


def test_each_request_of_a_stream_has_its_own_arrival_and_timeout() -> None:
    async def test() -> None:
        async with serving() as server:
            stream = server.stub.ModelStreamInfer()
            timeout = {"timeout": parameter(int64_param=1500)}
            await stream.write(infer_request(parameters=timeout))
            await stream.read()
            server.plane.clock.now_ns += 5_000_000
            await stream.write(infer_request(parameters=timeout))
            await stream.read()
            await stream.done_writing()
            first, second = server.engine.calls
            assert second.arrival_ns == first.arrival_ns + 5_000_000
            assert second.deadline_ns == second.arrival_ns + 1_500_000

    run(test())


def test_cancelling_a_stream_cancels_its_requests() -> None:
    async def test() -> None:
        engine = FakeEngine(held=True)
        async with serving(engine=engine) as server:
            stream = server.stub.ModelStreamInfer()
            for _ in range(3):
                await stream.write(infer_request())
            await engine.until_waiting(3)
            stream.cancel()
            await engine.until(lambda: engine.cancelled == 3)

    run(test())


def test_bytes_that_are_no_message_end_a_stream() -> None:
    async def test() -> None:
        async with serving() as server:
            stream = server.channel.stream_stream("/inference.GRPCInferenceService/ModelStreamInfer")()
            await stream.write(b"\xff\xff")
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await stream.read()
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT

    run(test())


@covers("RPC ModelStreamInfer")
def test_the_synchronous_clients_stream() -> None:
    def work(client: triton.InferenceServerClient) -> list[str]:
        ids: list[str] = []
        ended = threading.Event()

        def take(result: Any, error: Any) -> None:
            ids.append(str(error) if error else result.get_response().id)
            if len(ids) == 50:
                ended.set()

        client.start_stream(callback=take)
        for i in range(50):
            client.async_stream_infer("simple", simple_inputs(), request_id=str(i))
        assert ended.wait(20)
        client.stop_stream()
        return ids

    async def test() -> None:
        async with serving() as server:
            assert await server.in_thread(work) == [str(i) for i in range(50)]
            assert await asyncio.wait_for(server.client.is_server_live(), 10)

    run(test())
