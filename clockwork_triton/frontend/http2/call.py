"""One gRPC call on one HTTP/2 stream: what handlers see of it, whatever their kind."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any

from clockwork_triton.frontend.http2.blocks import OK_LITERALS, metadata_literals, status_literals
from clockwork_triton.frontend.http2.compression import choose, compress, decompress
from clockwork_triton.frontend.http2.errors import ErrorCode, StreamFault
from clockwork_triton.frontend.http2.head import RequestHead
from clockwork_triton.frontend.http2.host import Host
from clockwork_triton.frontend.http2.message import PREFIX, PREFIX_BYTES, PartialMessage, check_size
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.frontend.http2.stream import Stream
from clockwork_triton.inference import Buffer

Metadata = Iterable[tuple[str, str | bytes]]

_log = logging.getLogger(__name__)
_COPIED_BYTES = 4 << 10
"""A smaller message is copied out of what was read with it, so as not to keep all that."""
_EXTENSION_BYTES = 16 << 20
"""How far ahead of the bytes received a client may send a large message."""


class Call(Stream):
    """`arrival_ns`, the earliest moment at which it can have come, `begun_ns`, when it was read, and
    `deadline_ns`: on the connection's monotonic clock. `done`: the answer is decided, or nobody waits for
    one. `silenced`: and not by a reply, so that one that still comes is ignored."""

    __slots__ = (
        "_compression",
        "_counted",
        "_on_cancel",
        "_plain",
        "_reserved",
        "_task",
        "_trailing",
        "arrival_ns",
        "begun_ns",
        "deadline_ns",
        "done",
        "head",
        "host",
        "partial",
        "silenced",
    )

    def __init__(self, host: Host, stream_id: int, head: RequestHead) -> None:
        super().__init__(stream_id, host.limits.stream_window)
        self.host = host
        self.head = head
        self.arrival_ns = host.arrival_ns
        self.begun_ns = host.now_ns
        self.deadline_ns = None if head.timeout_ns is None else host.arrival_ns + head.timeout_ns
        self.done = False
        self.silenced = False
        self.partial: PartialMessage | None = None
        self._counted = 0
        self._reserved = 0
        self._plain = True
        self._compression = 0
        self._trailing = b""
        self._on_cancel: Callable[[], None] | None = None
        self._task: asyncio.Task[None] | None = None

    # For handlers.

    @property
    def peer(self) -> str:
        """As grpcio writes it: "ipv4:127.0.0.1:50000"."""
        return self.host.peer

    def metadata(self) -> list[tuple[str, str | bytes]]:
        return self.head.metadata()

    def time_remaining_ns(self) -> int | None:
        """None if the client set no deadline; never less than 0."""
        return None if self.deadline_ns is None else max(0, self.deadline_ns - self.host.clock.now_ns())

    def on_cancel(self, callback: Callable[[], None]) -> None:
        """`callback()` is called once if the client gives up, is lost, or its deadline passes before the
        call is answered. It is kept no longer than that: what it cancels mostly holds the call, and
        would live until the collector of cycles comes."""
        if not self.done:
            self._on_cancel = callback

    def compress_replies(self, level: int) -> None:
        """Compresses the replies that follow if the client takes that; `level` is zlib's, 1 to 9. To be
        called before anything is sent."""
        encoding = choose(self.head.accepts)
        if encoding is not None and self.opening is not None:
            self._plain = False
            self._compression = level
            self.opening += metadata_literals([("grpc-encoding", encoding.decode())])

    def initial_metadata(self, metadata: Metadata) -> None:
        """Adds to the reply's headers; to be called before anything is sent."""
        assert self.done or self.opening is not None, "the headers are sent"
        if self.opening is not None:
            self.opening += metadata_literals(metadata)

    def trailing_metadata(self, metadata: Metadata) -> None:
        self._plain = False
        self._trailing += metadata_literals(metadata)

    def abort(self, status: Status, message: str, details: bytes = b"") -> None:
        """Ends the call with an error; later replies are ignored."""
        self.fail(RpcError(status, message, details))

    # For the connection.

    def start(self) -> None:
        """All of the request's head is here."""

    def receive(self, data: bytes, start: int, stop: int, ended: bool) -> None:
        """Takes `data[start:stop]`, all or part of a DATA frame; `ended`: there is no more."""
        if ended:
            self.remote_open = False
        if self.done:
            return
        if self.head.content_length is not None:
            self._count(stop - start, ended)
        try:
            while start < stop:
                start = self._receive_message(data, start, stop)
                if self.done:
                    return
            if ended:
                self._end_request()
        except RpcError as error:
            self.reject(error)

    def advance(self, count: int, ended: bool) -> None:
        """`count` bytes were put into the room of `partial`."""
        assert self.partial is not None
        self.partial.advance(count)
        if ended:
            self.remote_open = False
        if self.head.content_length is not None:
            self._count(count, ended)
        try:
            if self.partial.complete:
                self._finish_partial()
            if ended and not self.done:
                self._end_request()
        except RpcError as error:
            self.reject(error)

    def extend(self, in_flight: int) -> None:
        """Lets the client go on with a message that is larger than the window; `in_flight`: bytes of the
        current frame that are still to come."""
        if self.partial is None or self.done:
            return
        allowed = in_flight + self.recv_left
        wanted = min(_EXTENSION_BYTES, self.partial.missing - allowed)
        if wanted <= 0 or allowed > _EXTENSION_BYTES // 2:
            return
        if not self.host.memory.take(wanted):
            message = "the server has no memory left for large requests"
            self.reject(RpcError(Status.RESOURCE_EXHAUSTED, message))
            return
        self._reserved += wanted
        self.host.grant(self, wanted)

    def cancel(self) -> None:
        """Nobody waits for the answer any more."""
        if not self.done:
            self.done = self.silenced = True
            self._stop_handler()
        self.forget()

    def expire(self) -> None:
        """The deadline has passed."""
        self.reject(RpcError(Status.DEADLINE_EXCEEDED, "Deadline Exceeded"))

    def reject(self, error: RpcError) -> None:
        """Answers over the handler's head."""
        if not self.done:
            self._stop_handler()
            self.fail(error)

    def fail(self, error: RpcError) -> None:
        if not self.done:
            self.done = self.silenced = True
            self._on_cancel = None
            self.forget()
            self.host.sender.finish(self, status_literals(error) + self._trailing)

    def forget(self) -> None:
        """Drops what has arrived of the request."""
        self._drop_partial()

    # For the kinds of calls.

    def _take_message(self, compressed: int, message: Buffer) -> None:
        raise NotImplementedError

    def _end_request(self) -> None:
        raise NotImplementedError

    def _decompression(self, compressed: int, message: Buffer) -> Callable[[], bytes]:
        """The work of making out a message whose prefix says that it is compressed. Raises RpcError."""
        if compressed != 1:
            raise RpcError(Status.INTERNAL, f"a message begins with {compressed}, which is not a flag")
        return partial(decompress, self.head.encoding, message, self.host.limits.message_bytes)

    def _compression_of(self, parts: Sequence[Buffer]) -> Callable[[], bytes]:
        encoding = choose(self.head.accepts)
        assert encoding is not None
        return partial(compress, encoding, b"".join(parts), self._compression)

    def _check_reply(self, size: int) -> None:
        limit = self.host.limits.reply_bytes
        if size > limit:
            raise RpcError(Status.RESOURCE_EXHAUSTED, f"Sent message larger than max ({size} vs. {limit})")

    def _succeed(self) -> None:
        """Ends the call with OK."""
        self.done = True
        self._on_cancel = None
        self.host.sender.finish(self, OK_LITERALS + self._trailing if self._trailing else b"")

    def _spawn(self, handler: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._task = self.host.clock.spawn(self._drive(handler))

    async def _drive(self, handler: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Runs a handler and answers for it where it fails."""
        try:
            await handler()
        except asyncio.CancelledError:
            self._task = None
            self.abort(Status.CANCELLED, "the handler was cancelled")
            raise
        except Exception as error:
            self._task = None
            self._fail_by(error)

    def _fail_by(self, error: Exception) -> None:
        if not isinstance(error, RpcError):
            _log.exception("the handler of %s failed", self.head.path.decode("latin-1"), exc_info=error)
            error = RpcError(Status.UNKNOWN, f"Unexpected {type(error)}: {error}")
        self.fail(error)

    def _stop_handler(self) -> None:
        callback, self._on_cancel = self._on_cancel, None
        if callback is not None:
            try:
                callback()
            except Exception:
                _log.exception("the cancellation of %s failed", self.head.path.decode("latin-1"))
        task, self._task = self._task, None
        if task is not None and not task.done():
            task.cancel()
            self.host.linger(task)

    # Messages out of bytes.

    def _receive_message(self, data: bytes, start: int, stop: int) -> int:
        half = self.partial
        if half is None:
            if stop - start >= PREFIX_BYTES:
                compressed, size = PREFIX.unpack_from(data, start)
                end: int = start + PREFIX_BYTES + size
                if end <= stop:
                    check_size(size, self.host.limits.message_bytes)
                    message: Buffer
                    if size < _COPIED_BYTES:
                        message = data[start + PREFIX_BYTES : end]
                    else:
                        message = memoryview(data)[start + PREFIX_BYTES : end]
                    self._take_message(compressed, message)
                    return end
            half = self.partial = PartialMessage(self.host.limits.message_bytes)
        start = half.feed(data, start, stop)
        if half.complete:
            self._finish_partial()
        return start

    def _finish_partial(self) -> None:
        whole = self.partial
        assert whole is not None
        self._drop_partial()
        self._take_message(whole.compressed, whole.take())

    def _drop_partial(self) -> None:
        self.partial = None
        if self._reserved:
            self.host.memory.give(self._reserved)
            self._reserved = 0

    def _count(self, size: int, ended: bool) -> None:
        """Holds the request against its content-length (RFC 9113, 8.1.1)."""
        expected = self.head.content_length
        assert expected is not None
        self._counted += size
        if self._counted > expected or (ended and self._counted < expected):
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "the request is not as long as its content-length")
