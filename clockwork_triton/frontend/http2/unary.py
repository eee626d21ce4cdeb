"""Calls with one request and one reply."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from clockwork_triton.frontend.http2.call import Call, Host
from clockwork_triton.frontend.http2.compression import Buffer
from clockwork_triton.frontend.http2.head import RequestHead
from clockwork_triton.frontend.http2.status import RpcError, Status

_ONE_REQUEST = "a unary call has one request"


class UnaryCall(Call):
    """The handler is called once, with the whole request, and answers with one `reply` or `abort`, at once
    or at any time later, on the event loop's thread."""

    __slots__ = ("_request",)

    def __init__(self, host: Host, stream_id: int, head: RequestHead) -> None:
        super().__init__(host, stream_id, head)
        self._request: Buffer | None = None

    def reply(self, message: bytes) -> None:
        if self.done:
            assert self.silenced, "the call is answered already"
            return
        if self._plain and len(message) <= self.host.limits.reply_bytes:
            self.done = True
            self.host.sender.reply(self, message)
        else:
            self.reply_parts((message,))

    def reply_parts(self, parts: Sequence[Buffer], release: Callable[[], None] | None = None) -> None:
        """One message in parts; memoryviews must be one-dimensional and of bytes. `release()` is called once
        when their memory is no longer needed, sent or not."""
        if self.done:
            assert self.silenced, "the call is answered already"
            if release is not None:
                release()
            return
        try:
            self._send(parts, sum(map(len, parts)), release)
            self._succeed()
        except RpcError as error:
            self.fail(error)

    def extend(self, in_flight: int) -> None:
        if self._request is not None and self.partial is not None:
            self.reject(RpcError(Status.INTERNAL, _ONE_REQUEST))
        super().extend(in_flight)

    def _take_message(self, compressed: int, message: Buffer) -> None:
        if self._request is not None:
            raise RpcError(Status.INTERNAL, _ONE_REQUEST)
        self._request = self._decoded(compressed, message) if compressed else message

    def _end_request(self) -> None:
        request, self._request = self._request, None
        if request is None:
            raise RpcError(Status.INTERNAL, "the request ends before its message does")
        if self.partial is not None:
            raise RpcError(Status.INTERNAL, _ONE_REQUEST)
        try:
            self._handle(request)
        except Exception as error:
            self._fail_by(error)

    def _handle(self, request: Buffer) -> None:
        assert self.head.route is not None
        self.head.route.handler(request, self)


class AsyncUnaryCall(UnaryCall):
    """The handler is a coroutine function that returns the reply, in a task of its own."""

    __slots__ = ()

    def _handle(self, request: Buffer) -> None:
        self._spawn(self._answer(request))

    async def _answer(self, request: Buffer) -> None:
        assert self.head.route is not None
        reply = await self.head.route.handler(request, self)
        self._task = None
        if isinstance(reply, bytes):
            self.reply(reply)
        else:
            self.reply_parts(reply)
