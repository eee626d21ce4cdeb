"""ModelInfer through a real server and real clients: what a client that does everything right gets."""

from __future__ import annotations

import asyncio

import numpy as np
import tritonclient.grpc as triton

from tests.frontend.fakes import run, serving, simple_inputs


def test_sum_and_difference_with_the_synchronous_client() -> None:
    async def test() -> None:
        async with serving() as server:
            result = await server.in_thread(lambda c: c.infer("simple", simple_inputs(2), request_id="7"))
            response = result.get_response()
            assert (response.model_name, response.model_version, response.id) == ("simple", "1", "7")
            assert [output.name for output in response.outputs] == ["OUTPUT0", "OUTPUT1"]
            assert len(response.raw_output_contents) == 2
            counted = np.arange(32, dtype=np.int32).reshape(2, 16)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT0"), counted + 1)
            np.testing.assert_array_equal(result.as_numpy("OUTPUT1"), counted - 1)

    run(test())


def test_a_hundred_at_once_with_the_asyncio_client() -> None:
    async def test() -> None:
        async with serving() as server:
            results = await asyncio.gather(
                *(server.client.infer("simple", simple_inputs(), request_id=str(i)) for i in range(100))
            )
            assert [result.get_response().id for result in results] == [str(i) for i in range(100)]
            assert len(server.engine.calls) == 100

    run(test())


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
