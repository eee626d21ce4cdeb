"""What a gRPC transport hands over and calls, and handlers that answer only those who may ask."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import NamedTuple

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.restriction import CATEGORIES, Restriction
from clockwork_triton.inference import Buffer


class Call(NamedTuple):
    """`arrival_ns`, and `deadline_ns` when the client stops waiting, are on the data plane's clock.

    `metadata`, keys in lower case, is there for streams, and for all calls where the service reads it.
    """

    arrival_ns: int
    deadline_ns: int | None
    metadata: Sequence[tuple[str, str | bytes]] = ()


UnaryHandler = Callable[[Buffer, Call], Awaitable[bytes]]
StreamHandler = Callable[[AsyncIterator[Buffer], Call], AsyncGenerator[bytes, None]]


def restrict(
    unary: dict[str, UnaryHandler],
    streams: dict[str, StreamHandler],
    restrictions: Mapping[str, Restriction],
) -> None:
    """Puts the restrictions of Triton's categories before the handlers of their RPCs, in place."""
    needed = {rpc: restrictions[category] for category in restrictions for rpc in CATEGORIES[category]}
    for path, handler in unary.items():
        if (restriction := needed.get(path.rsplit("/", 1)[1])) is not None:
            unary[path] = _restricted(handler, restriction)
    for path, stream in streams.items():
        if (restriction := needed.get(path.rsplit("/", 1)[1])) is not None:
            streams[path] = _restricted_stream(stream, restriction)


def _restricted(handler: UnaryHandler, restriction: Restriction) -> UnaryHandler:
    async def handle(data: Buffer, call: Call) -> bytes:
        _check(restriction, call)
        return await handler(data, call)

    return handle


def _restricted_stream(handler: StreamHandler, restriction: Restriction) -> StreamHandler:
    async def handle(requests: AsyncIterator[Buffer], call: Call) -> AsyncGenerator[bytes, None]:
        _check(restriction, call)
        async with aclosing(handler(requests, call)) as responses:
            async for response in responses:
                yield response

    return handle


def _check(restriction: Restriction, call: Call) -> None:
    if (restriction.header.lower(), restriction.value) not in call.metadata:
        raise ServerError(
            Code.UNAVAILABLE, f"This protocol is restricted, expecting header '{restriction.header}'"
        )
