"""The service over the server's own transport: what `grpc_server` is over grpc.aio."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Coroutine
from contextlib import aclosing
from functools import partial
from typing import Any

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.grpc_options import GrpcOptions, KeepAlive, Tls
from clockwork_triton.frontend.handlers import Call, StreamHandler, UnaryHandler
from clockwork_triton.frontend.http2.limits import Limits
from clockwork_triton.frontend.http2.server import Server
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.frontend.http2.streaming import StreamCall
from clockwork_triton.frontend.http2.tls import server_context
from clockwork_triton.frontend.http2.unary import AsyncUnaryCall, UnaryCall
from clockwork_triton.frontend.outcome import Cancellable
from clockwork_triton.frontend.service import InferenceService, Reply
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


_MS = 1_000_000


class Http2Server:
    """A server of one InferenceService. Made, started and stopped in the event loop it runs in."""

    def __init__(self, service: InferenceService, options: GrpcOptions | None = None) -> None:
        """OSError if a PEM file cannot be read or used."""
        options = options or GrpcOptions()
        # Arrivals and deadlines are then on the data plane's clock.
        self._server = Server(paths_of(service), _limits(options.keepalive), service.plane.clock)
        self._tls = _tls(options.tls) if options.tls is not None else None
        self._reuse_port = options.reuse_port

    async def start(self, address: str) -> int:
        """Listens on `host:port` and returns the port, chosen by the system if 0 was given. OSError if it
        cannot be had."""
        host, _, port = address.rpartition(":")
        try:
            return await self._server.listen(host.strip("[]"), int(port), self._tls, self._reuse_port)
        except OSError as error:
            raise OSError(f"cannot listen for gRPC on {address}: {error}") from error

    async def stop(self, grace: float | None) -> None:
        """Takes no more calls; those under way have `grace` seconds (None: no time) to end."""
        await self._server.stop(grace or 0)


def paths_of(service: InferenceService) -> Service:
    """What answers which path."""
    table = Service()
    for path, unary in service.unary.items():
        if path == service.infer_path and not service.reads_metadata:
            table.callback(path.encode(), _infer(service.begin_infer))
        else:
            table.unary(path.encode(), _unary(unary, service.reads_metadata))
    for path, stream in service.streams.items():
        table.stream(path.encode(), _stream(stream))
    return table


def _limits(keepalive: KeepAlive) -> Limits:
    def end_ns(milliseconds: int) -> int | None:
        return milliseconds * _MS or None

    return Limits(
        keepalive_ns=keepalive.time_ms * _MS,
        keepalive_timeout_ns=keepalive.timeout_ms * _MS,
        keepalive_without_calls=keepalive.permit_without_calls,
        pings_without_data=keepalive.max_pings_without_data,
        ping_interval_ns=keepalive.min_recv_ping_interval_without_data_ms * _MS,
        ping_strikes=keepalive.max_ping_strikes,
        age_ns=end_ns(keepalive.max_age_ms),
        age_grace_ns=end_ns(keepalive.max_age_grace_ms),
    )


def _tls(tls: Tls) -> ssl.SSLContext:
    roots = None if tls.client_roots is None else str(tls.client_roots)
    return server_context(str(tls.certificate), str(tls.key), roots)


def _infer(begin: Callable[..., Cancellable]) -> Callable[[Buffer, UnaryCall], None]:
    """Inferences need no task: they are begun in the read that brings them, and answered by who is told."""

    def handle(request: Buffer, call: UnaryCall) -> None:
        try:
            execution = begin(request, Call(call.arrival_ns, call.deadline_ns), partial(_answer, call))
        except ServerError as error:
            raise _rpc_error(error) from None
        call.on_cancel(execution.cancel)

    return handle


def _answer(call: UnaryCall, outcome: Reply | ServerError) -> None:
    if isinstance(outcome, ServerError):
        call.fail(_rpc_error(outcome))
    else:
        call.reply_parts(outcome)


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
