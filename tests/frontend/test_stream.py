from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from clockwork_triton.frontend.stream import in_order
from tests.frontend.fakes import run


class Source:
    """Items that arrive when the test puts them; None ends, an exception is raised."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[int | Exception | None] = asyncio.Queue()

    async def __aiter__(self) -> AsyncIterator[int]:
        while (item := await self.queue.get()) is not None:
            if isinstance(item, Exception):
                raise item
            yield item


class Work:
    """Runs that end when the test says so."""

    def __init__(self) -> None:
        self.futures: dict[int, asyncio.Future[str]] = {}
        self.cancelled: list[int] = []

    async def __call__(self, item: int) -> str:
        self.futures[item] = asyncio.get_running_loop().create_future()
        try:
            return await self.futures[item]
        except asyncio.CancelledError:
            self.cancelled.append(item)
            raise

    async def until_running(self, count: int) -> None:
        while len(self.futures) < count:
            await asyncio.sleep(0)


def test_results_come_in_order_of_arrival() -> None:
    async def test() -> None:
        source, work = Source(), Work()
        for item in (1, 2, 3, None):
            source.queue.put_nowait(item)
        results = in_order(source.__aiter__(), work, 10)
        first = asyncio.ensure_future(anext(results))
        await work.until_running(3)
        for item in (3, 2, 1):
            work.futures[item].set_result(f"r{item}")
        assert await first == "r1"
        assert [result async for result in results] == ["r2", "r3"]

    run(test())


def test_no_more_than_the_limit_run_at_once() -> None:
    async def test() -> None:
        source, work = Source(), Work()
        for item in (1, 2, 3, None):
            source.queue.put_nowait(item)
        results = in_order(source.__aiter__(), work, 2)
        first = asyncio.ensure_future(anext(results))
        await work.until_running(2)
        for _ in range(10):
            await asyncio.sleep(0)
        assert list(work.futures) == [1, 2]
        for item in (1, 2):
            work.futures[item].set_result("")
        await first
        await work.until_running(3)
        work.futures[3].set_result("")
        assert [result async for result in results] == ["", ""]

    run(test())


@pytest.mark.parametrize("culprit", ["source", "run"])
def test_a_failure_ends_it_and_cancels_what_runs(culprit: str) -> None:
    async def test() -> None:
        source, work = Source(), Work()
        for item in (1, 2):
            source.queue.put_nowait(item)
        results = in_order(source.__aiter__(), work, 10)
        first = asyncio.ensure_future(anext(results))
        await work.until_running(2)
        if culprit == "source":
            source.queue.put_nowait(ValueError("broken"))
            work.futures[1].set_result("one")
            assert await first == "one"
            work.futures[2].set_result("two")
            assert await anext(results) == "two"
            with pytest.raises(ValueError, match="broken"):
                await anext(results)
        else:
            work.futures[1].set_exception(ValueError("broken"))
            with pytest.raises(ValueError, match="broken"):
                await first
            assert work.cancelled == [2]

    run(test())


def test_closing_it_early_cancels_everything() -> None:
    async def test() -> None:
        source, work = Source(), Work()
        for item in (1, 2, 3):
            source.queue.put_nowait(item)
        async with aclosing(in_order(source.__aiter__(), work, 10)) as results:
            first = asyncio.ensure_future(anext(results))
            await work.until_running(3)
            work.futures[1].set_result("one")
            assert await first == "one"
        assert sorted(work.cancelled) == [2, 3]

    run(test())
