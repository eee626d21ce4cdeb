"""The service over grpc.aio: contexts, deadlines and statuses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import quote

import grpc
import grpc.aio

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.codec import MAX_MESSAGE_BYTES
from clockwork_triton.frontend.grpc_options import GrpcOptions, KeepAlive, Tls
from clockwork_triton.frontend.handlers import Call, StreamHandler, UnaryHandler
from clockwork_triton.frontend.service import InferenceService

STATUS = {
    Code.INVALID_ARG: grpc.StatusCode.INVALID_ARGUMENT,
    Code.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    Code.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    Code.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    Code.INTERNAL: grpc.StatusCode.INTERNAL,
    Code.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    Code.CANCELLED: grpc.StatusCode.CANCELLED,
    Code.UNKNOWN: grpc.StatusCode.UNKNOWN,
}

# A status message travels percent-encoded in a header block, of which peers accept 8 KiB by default.
_MAX_DETAILS = 4096


class GrpcServer:
    """A grpc.aio server of one InferenceService. Made, started and stopped in the event loop it runs in."""

    def __init__(self, service: InferenceService, options: GrpcOptions | None = None) -> None:
        options = options or GrpcOptions()
        self._clock = service.plane.clock
        self._reads_metadata = service.reads_metadata
        self._server = grpc.aio.server(
            options=[
                ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
                ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
                ("grpc.so_reuseport", int(options.reuse_port)),
                *_keepalive(options.keepalive),
            ],
            # A call's own set_compression does nothing in grpc.aio, so this is for every answer.
            compression=grpc.Compression.Gzip if options.compression != "none" else None,
        )
        self._tls = options.tls
        self._add(service)

    async def start(self, address: str) -> int:
        """Listens on `host:port` and returns the port, chosen by the system if 0 was given. OSError if it
        cannot be had, or a certificate cannot be read."""
        credentials = None if self._tls is None else _credentials(self._tls)
        try:
            port: int
            if credentials is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(f"cannot listen for gRPC on {address}: {error}") from error
        await self._server.start()
        return port

    async def stop(self, grace: float | None) -> None:
        """Takes no more calls; those under way have `grace` seconds (None: no time) to end."""
        await self._server.stop(grace)

    def _add(self, service: InferenceService) -> None:
        # No serialisers: the service takes and gives bytes.
        handlers: dict[str, dict[str, Any]] = {}
        for path, unary in service.unary.items():
            _, name, method = path.split("/")
            handler = grpc.unary_unary_rpc_method_handler(self._unary(unary))
            handlers.setdefault(name, {})[method] = handler
        for path, stream in service.streams.items():
            _, name, method = path.split("/")
            handler = grpc.stream_stream_rpc_method_handler(self._stream(stream))
            handlers.setdefault(name, {})[method] = handler
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(name, methods) for name, methods in handlers.items()]
        )

    def _unary(self, handler: UnaryHandler) -> Callable[[bytes, Any], Awaitable[bytes | None]]:
        async def handle(data: bytes, context: Any) -> bytes | None:
            try:
                call = self._call(context)
                if self._reads_metadata:
                    call = _with_metadata(call, context)
                return await handler(data, call)
            except ServerError as error:
                await _abort(context, error)
            return None  # not reached: abort raises

        return handle

    def _stream(self, handler: StreamHandler) -> Callable[[AsyncIterator[bytes], Any], Awaitable[None]]:
        async def handle(requests: AsyncIterator[bytes], context: Any) -> None:
            call = _with_metadata(self._call(context), context)
            try:
                # Written rather than yielded: a cancelled call then closes the handler at once.
                async with aclosing(handler(requests, call)) as responses:
                    async for response in responses:
                        await context.write(response)
            except ServerError as error:
                await _abort(context, error)

        return handle

    def _call(self, context: Any) -> Call:
        now = self._clock()
        remaining = context.time_remaining()
        return Call(now, None if remaining is None else now + int(remaining * 1e9))


def _keepalive(settings: KeepAlive) -> list[tuple[str, int]]:
    arguments = [
        ("grpc.keepalive_time_ms", settings.time_ms),
        ("grpc.keepalive_timeout_ms", settings.timeout_ms),
        ("grpc.keepalive_permit_without_calls", int(settings.permit_without_calls)),
        ("grpc.http2.max_pings_without_data", settings.max_pings_without_data),
        ("grpc.http2.min_ping_interval_without_data_ms", settings.min_recv_ping_interval_without_data_ms),
        ("grpc.http2.max_ping_strikes", settings.max_ping_strikes),
    ]
    if settings.max_age_ms:
        arguments.append(("grpc.max_connection_age_ms", settings.max_age_ms))
    if settings.max_age_grace_ms:
        arguments.append(("grpc.max_connection_age_grace_ms", settings.max_age_grace_ms))
    return arguments


def _credentials(tls: Tls) -> Any:
    roots = tls.client_roots
    return grpc.ssl_server_credentials(
        [(tls.key.read_bytes(), tls.certificate.read_bytes())],
        None if roots is None else roots.read_bytes(),
        require_client_auth=roots is not None,
    )


def _with_metadata(call: Call, context: Any) -> Call:
    return call._replace(metadata=tuple(context.invocation_metadata() or ()))


async def _abort(context: Any, error: ServerError) -> None:
    await context.abort(STATUS[error.code], _bounded(error.message))


def _bounded(message: str) -> str:
    """The start of a message that is too long for a header: names in it come from clients."""
    if len(message) * 12 <= _MAX_DETAILS:  # four bytes a character, three characters for each when encoded
        return message
    start = message[:_MAX_DETAILS]
    while len(quote(start)) > _MAX_DETAILS:
        start = start[: len(start) * 3 // 4]
    return message if len(start) == len(message) else start + "..."
