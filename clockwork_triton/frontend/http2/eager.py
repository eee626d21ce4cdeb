"""Tasks that begin at once: what asyncio has from Python 3.12 on, for those before it."""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Coroutine, Generator
from typing import Any


def begin(coroutine: Coroutine[Any, Any, None], loop: asyncio.AbstractEventLoop) -> asyncio.Task[None] | None:
    """Runs `coroutine` to where it first waits, and the rest of it in a task; None if it has ended.

    It must not raise: where that would show differs between versions of Python.
    """
    if sys.version_info >= (3, 12):
        task = asyncio.Task(coroutine, loop=loop, eager_start=True)
        return None if task.done() else task
    try:
        awaited = coroutine.send(None)
    except (StopIteration, asyncio.CancelledError):
        return None
    rest = _rest(coroutine, awaited)
    # A task that is cancelled before its first step throws into what it runs, which must have begun for that.
    rest.send(None)
    return loop.create_task(rest)


@types.coroutine
def _rest(coroutine: Coroutine[Any, Any, None], awaited: Any) -> Generator[Any, Any, None]:
    """Goes on with a coroutine that waits for `awaited`; to be started first, which does nothing yet."""
    try:
        try:
            yield
        except BaseException as error:
            awaited = coroutine.throw(error)
        while True:
            try:
                value = yield awaited
            except BaseException as error:
                awaited = coroutine.throw(error)
            else:
                awaited = coroutine.send(value)
    except StopIteration:
        return
