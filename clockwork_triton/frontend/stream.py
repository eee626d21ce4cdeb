"""Runs what arrives on a stream at once, and gives the results back in order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


async def in_order(
    items: AsyncIterator[Item], run: Callable[[Item], Awaitable[Result]], limit: int
) -> AsyncGenerator[Result, None]:
    """`run` has begun for every item that arrived, up to `limit` at a time, before the first has ended.

    Ends when all items have; the first exception of `items` or `run` ends it too. Whatever still runs at the
    end is cancelled. Close it (`aclosing`) when done with it early.
    """
    running: asyncio.Queue[asyncio.Future[Result] | None] = asyncio.Queue()
    places = asyncio.Semaphore(limit)

    async def read() -> None:
        try:
            async for item in items:
                await places.acquire()
                running.put_nowait(asyncio.ensure_future(run(item)))
        finally:
            running.put_nowait(None)

    reader: asyncio.Future[None] = asyncio.ensure_future(read())
    current: asyncio.Future[Result] | None = None
    try:
        while (current := await running.get()) is not None:
            result = await current
            places.release()
            yield result
        await reader
    finally:
        left: list[asyncio.Future[Any]] = [reader]
        if current is not None:
            left.append(current)
        while not running.empty():
            task = running.get_nowait()
            if task is not None:
                left.append(task)
        for future in left:
            future.cancel()
        await asyncio.gather(*left, return_exceptions=True)
