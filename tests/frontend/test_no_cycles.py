"""What a request is made of goes when it has been answered. If it were left to the collector of cycles, that
would stop the server for tens of milliseconds now and then, and what it plans with."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest
from tritonclient.utils import InferenceServerException

from clockwork_triton.errors import TIMEOUT_EXPIRED, Code, ServerError
from clockwork_triton.frontend.execution import Execution
from clockwork_triton.frontend.http2.unary import UnaryCall
from tests.frontend.fakes import run, serving, simple, simple_inputs
from tests.frontend.test_one_copy import Bench


@pytest.fixture
def uncollected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


def living() -> int:
    return sum(type(each) in (Execution, UnaryCall) for each in gc.get_objects())


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("refused", [False, True])
def test_nothing_of_an_answered_call_is_left(refused: bool) -> None:
    async def test() -> None:
        bench = Bench(256)
        before = living()
        bench.ask()
        assert living() > before
        call, number = bench.engine.waiting.pop()
        answer = ServerError(Code.UNAVAILABLE, TIMEOUT_EXPIRED) if refused else bench.engine.answer(call)
        bench.engine.calls.clear()
        bench.engine._tell(number, answer)
        bench.client.clock.turn()
        await asyncio.sleep(0)
        assert living() == before

    run(test())


@pytest.mark.usefixtures("uncollected")
def test_nothing_of_a_request_in_parts_is_left() -> None:
    async def test() -> None:
        async with serving(simple(batch_sizes=(1, 2))) as server:
            before = living()
            await server.client.infer("simple", simple_inputs(8))
            assert len(server.engine.calls) > 1
            assert living() == before

    run(test())


@pytest.mark.usefixtures("uncollected")
def test_nothing_of_a_refused_request_is_left_for_those_who_wait() -> None:
    async def test() -> None:
        async with serving() as server:
            before = living()
            server.engine.error = ServerError(Code.UNAVAILABLE, TIMEOUT_EXPIRED)
            with pytest.raises(InferenceServerException, match=TIMEOUT_EXPIRED):
                await server.client.infer("simple", simple_inputs())
            assert len(server.engine.calls) == 1
            assert living() == before

    run(test())
