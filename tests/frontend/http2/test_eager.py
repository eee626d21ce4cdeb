from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from clockwork_triton.frontend.http2.eager import begin
from tests.frontend.fakes import run


def start(coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
    return begin(coroutine, asyncio.get_running_loop())


def test_what_never_waits_needs_no_task() -> None:
    done = []

    async def work() -> None:
        done.append(1)

    async def test() -> None:
        assert start(work()) is None
        assert done == [1]

    run(test())


def test_what_waits_goes_on_in_a_task() -> None:
    async def test() -> None:
        first: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        second: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        seen = []

        async def work() -> None:
            seen.append(await first)
            await asyncio.sleep(0)
            try:
                await second
            except ZeroDivisionError:
                seen.append(2)

        task = start(work())
        assert task is not None
        first.set_result(1)
        second.set_exception(ZeroDivisionError())
        await task
        assert seen == [1, 2]

    run(test())


@pytest.mark.parametrize("turns", [0, 1, 2])
def test_a_cancellation_reaches_it_at_any_time(turns: int) -> None:
    async def test() -> None:
        reached = []

        async def work() -> None:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                reached.append(turns)
                raise

        task = start(work())
        assert task is not None
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert reached == [turns]

    run(test())
