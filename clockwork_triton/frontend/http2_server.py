"""The service over the server's own transport: what `grpc_server` is over grpc.aio."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from typing import Any

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.handlers import Call, StreamHandler, UnaryHandler
from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.server import Server
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.frontend.http2.streaming import StreamCall
from clockwork_triton.frontend.http2.unary import AsyncUnaryCall
from clockwork_triton.frontend.service import InferenceService
from clockwork_triton.inference import Buffer

STATUS = {
    Code.INVALID_ARG: Status.INVALID_ARGUMENT,
    Code.NOT_FOUND: Status.NOT_FOUND,
    Code.UNAVAILABLE: Status.UNAVAILABLE,
    Code.UNSUPPORTED: Status.UNIMPLEMENTED,
    Code.INTERNAL: Status.INTERNAL,
    Code.ALREADY_EXISTS: Status.ALREADY_EXISTS,
    Code.CANCELLED: Status.CANCELLED,
    Code.UNKNOWN: Status.UNKNOWN,
}


class Http2Server:
    """A server of one InferenceService. Made, started and stopped in the event loop it runs in."""

    def __init__(
        self, service: InferenceService, limits: Limits | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        table = Service()
        for path, unary in service.unary.items():
            table.unary(path.encode(), _unary(unary, service.reads_metadata))
        for path, stream in service.streams.items():
            table.stream(path.encode(), _stream(stream))
        # Arrivals and deadlines are then on the data plane's clock.
        self._server = Server(table, limits, service.plane.clock)
        self._tls = tls

    async def start(self, address: str) -> int:
        """Listens on `host:port` and returns the port, chosen by the system if 0 was given. OSError if it
        cannot be had."""
        host, _, port = address.rpartition(":")
        try:
            return await self._server.listen(host.strip("[]"), int(port), self._tls)
        except OSError as error:
            raise OSError(f"cannot listen for gRPC on {address}: {error}") from error

    async def stop(self, grace: float | None) -> None:
        """Takes no more calls; those under way have `grace` seconds (None: no time) to end."""
        await self._server.stop(grace or 0)


def _unary(
    handler: UnaryHandler, reads_metadata: bool
) -> Callable[[Buffer, AsyncUnaryCall], Coroutine[Any, Any, bytes]]:
    async def handle(request: Buffer, call: AsyncUnaryCall) -> bytes:
        metadata = call.metadata() if reads_metadata else ()
        try:
            return await handler(request, Call(call.arrival_ns, call.deadline_ns, metadata))
        except ServerError as error:
            raise _rpc_error(error) from None

    return handle


def _stream(handler: StreamHandler) -> Callable[[StreamCall], Coroutine[Any, Any, None]]:
    async def handle(call: StreamCall) -> None:
        facts = Call(call.arrival_ns, call.deadline_ns, call.metadata())
        try:
            async with aclosing(handler(call, facts)) as responses:
                async for response in responses:
                    await call.write(response)
        except ServerError as error:
            raise _rpc_error(error) from None

    return handle


def _rpc_error(error: ServerError) -> RpcError:
    return RpcError(STATUS[error.code], error.message)
