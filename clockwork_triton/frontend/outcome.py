"""What is told by a callback, for those who wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from clockwork_triton.errors import ServerError

T = TypeVar("T")


class Cancellable(Protocol):
    def cancel(self) -> None:
        """Nobody waits any more."""


async def outcome_of(begin: Callable[[Callable[[T | ServerError], None]], Cancellable]) -> T:
    """`begin(done)` starts what tells `done` of its outcome. Cancelling cancels that too."""
    outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    execution = begin(partial(_settle, outcome))
    try:
        return await outcome
    except asyncio.CancelledError:
        execution.cancel()
        raise
    finally:
        # An error holds this frame, which would hold the error, and all of the request with it.
        del outcome, execution


def _settle(future: asyncio.Future[T], outcome: T | ServerError) -> None:
    if future.done():
        return
    if isinstance(outcome, ServerError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
