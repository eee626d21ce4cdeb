"""Calls with one request and one reply."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Callable, Sequence
from functools import partial

from clockwork_triton.frontend.http2.call import Call
from clockwork_triton.frontend.http2.compression import LONG_BYTES
from clockwork_triton.frontend.http2.head import RequestHead
from clockwork_triton.frontend.http2.host import Host
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.inference import Buffer

_ONE_REQUEST = "a unary call has one request"


class UnaryCall(Call):
    """The handler is called once, with the whole request, and answers with one `reply` or `abort`, at once
    or at any time later, on the event loop's thread."""

    __slots__ = ("_compressed", "_request")

    def __init__(self, host: Host, stream_id: int, head: RequestHead) -> None:
        super().__init__(host, stream_id, head)
        self._request: Buffer | None = None
        self._compressed = 0

    def reply(self, message: bytes) -> None:
        self.reply_parts((message,))

    def reply_parts(self, parts: Sequence[Buffer], release: Callable[[], None] | None = None) -> None:
        """One message in parts; memoryviews must be one-dimensional and of bytes. `release()` is called once
        when their memory is no longer needed, sent or not."""
        if self.done:
            assert self.silenced, "the call is answered already"
        else:
            self._on_cancel = None
            size = sum(map(len, parts))
            if self._plain and release is None and size <= self.host.limits.reply_bytes:
                self.done = True
                self.host.sender.reply(self, parts, size)
                return
            try:
                self._check_reply(size)
            except RpcError as error:
                self.fail(error)
            else:
                self.done = True
                if not self._compression:
                    self.host.sender.message(self, False, parts, size, release)
                    self._succeed()
                    return
                self._reply_compressed(self._compression_of(parts), size)
        if release is not None:
            release()

    def extend(self, in_flight: int) -> None:
        if self._request is not None and self.partial is not None:
            self.reject(RpcError(Status.INTERNAL, _ONE_REQUEST))
        super().extend(in_flight)

    def _take_message(self, compressed: int, message: Buffer) -> None:
        if self._request is not None:
            raise RpcError(Status.INTERNAL, _ONE_REQUEST)
        self._request = message
        self._compressed = compressed

    def _end_request(self) -> None:
        request, self._request = self._request, None
        if request is None:
            raise RpcError(Status.INTERNAL, "the request ends before its message does")
        if self.partial is not None:
            raise RpcError(Status.INTERNAL, _ONE_REQUEST)
        if not self._compressed:
            self._begin(request)
            return
        work = self._decompression(self._compressed, request)
        if len(request) < LONG_BYTES:
            self._begin(work())
        else:
            self.host.clock.offload(work).add_done_callback(self._decompressed)

    def _decompressed(self, future: Future[bytes]) -> None:
        if self.done or future.cancelled():
            return
        try:
            request = future.result()
        except RpcError as error:
            self.reject(error)
        else:
            self._begin(request)

    def _begin(self, request: Buffer) -> None:
        try:
            self._handle(request)
        except Exception as error:
            self._fail_by(error)

    def _handle(self, request: Buffer) -> None:
        assert self.head.route is not None
        self.head.route.handler(request, self)

    def _reply_compressed(self, work: Callable[[], bytes], size: int) -> None:
        def send(packed: bytes) -> None:
            self.host.sender.message(self, True, (packed,), len(packed))
            self._succeed()

        def compressed(future: Future[bytes]) -> None:
            if self.host.is_open(self) and not future.cancelled():
                send(future.result())

        if size < LONG_BYTES:
            send(work())
        else:
            self.host.clock.offload(work).add_done_callback(compressed)


class AsyncUnaryCall(UnaryCall):
    """The handler is a coroutine function that returns the reply, in a task of its own."""

    __slots__ = ()

    def _handle(self, request: Buffer) -> None:
        self._spawn(partial(self._answer, request))

    async def _answer(self, request: Buffer) -> None:
        assert self.head.route is not None
        reply = await self.head.route.handler(request, self)
        self._task = None
        if isinstance(reply, bytes):
            self.reply(reply)
        else:
            self.reply_parts(reply)
