"""Calls with a stream of requests and a stream of replies."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence

from clockwork_triton.frontend.http2.call import Call
from clockwork_triton.frontend.http2.compression import LONG_BYTES
from clockwork_triton.frontend.http2.head import RequestHead
from clockwork_triton.frontend.http2.host import Host
from clockwork_triton.frontend.http2.message import PREFIX_BYTES
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.inference import Buffer


class StreamCall(Call):
    """The handler is a coroutine function that iterates over the call for the requests, and ends the call by
    returning. A client may be ahead of it by one window of bytes."""

    __slots__ = ("_ended", "_inbox", "_unread", "_waits_for_request", "_waits_for_room")

    def __init__(self, host: Host, stream_id: int, head: RequestHead) -> None:
        super().__init__(host, stream_id, head)
        self._inbox: deque[tuple[int, Buffer]] = deque()
        self._unread = 0
        self._ended = False
        self._waits_for_request: asyncio.Future[None] | None = None
        self._waits_for_room: asyncio.Future[None] | None = None

    # For handlers.

    def __aiter__(self) -> AsyncIterator[Buffer]:
        return self

    async def __anext__(self) -> Buffer:
        request = await self.read()
        if request is None:
            raise StopAsyncIteration
        return request

    async def read(self) -> Buffer | None:
        """The next request; None once the client has sent its last. Raises RpcError where it cannot be
        decompressed: not before it is read, so that a small stream cannot grow in the queue."""
        while not self._inbox:
            if self._ended:
                return None
            self._waits_for_request = asyncio.get_running_loop().create_future()
            await self._waits_for_request
        compressed, request = self._inbox.popleft()
        self._unread -= len(request) + PREFIX_BYTES
        self._make_room()
        if not compressed:
            return request
        work = self._decompression(compressed, request)
        return work() if len(request) < LONG_BYTES else await self.host.clock.offload(work)

    def send(self, message: bytes) -> None:
        """One reply, queued if need be: to be called by those that answer from callbacks. Raises RpcError if
        it is too long."""
        self.send_parts((message,))

    def send_parts(self, parts: Sequence[Buffer], release: Callable[[], None] | None = None) -> None:
        """As `UnaryCall.reply_parts`, for one of many replies; compressed here and now if it is to be."""
        try:
            if not self.done:
                size = sum(map(len, parts))
                self._check_reply(size)
                if not self._compression:
                    lent, release = release, None
                    self.host.sender.message(self, False, parts, size, lent)
                else:
                    packed = self._compression_of(parts)()
                    self.host.sender.message(self, True, (packed,), len(packed))
        finally:
            if release is not None:
                release()

    async def write(self, message: bytes) -> None:
        """One reply; waits while the client is slow to take them. One writer at a time."""
        if self._compression and len(message) >= LONG_BYTES and not self.done:
            self._check_reply(len(message))
            packed = await self.host.clock.offload(self._compression_of((message,)))
            if not self.done:
                self.host.sender.message(self, True, (packed,), len(packed))
        else:
            self.send(message)
        await self.room()

    async def room(self) -> None:
        """Waits while more replies are queued than the limit `unread_replies` allows."""
        while self.queued_bytes > self.host.limits.unread_replies and not self.done:
            if self._waits_for_room is None:
                self._waits_for_room = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._waits_for_room)

    # For the connection.

    def start(self) -> None:
        self._spawn(self._answer)

    def extend(self, in_flight: int) -> None:
        # What the handler has not read yet counts first.
        if not self._inbox:
            super().extend(in_flight)

    def sent(self) -> None:
        waits, self._waits_for_room = self._waits_for_room, None
        if waits is not None and not waits.done():
            waits.set_result(None)

    def forget(self) -> None:
        super().forget()
        self._inbox.clear()
        self._unread = 0
        self._ended = True
        self._wake()
        self.sent()

    def _take_message(self, compressed: int, message: Buffer) -> None:
        self._inbox.append((compressed, message))
        self._unread += len(message) + PREFIX_BYTES
        self._wake()

    def _end_request(self) -> None:
        if self.partial is not None:
            raise RpcError(Status.INTERNAL, "the request ends before its message does")
        self._ended = True
        self._wake()

    async def _answer(self) -> None:
        assert self.head.route is not None
        await self.head.route.handler(self)
        self._task = None
        if not self.done:
            self._succeed()

    def _wake(self) -> None:
        waits, self._waits_for_request = self._waits_for_request, None
        if waits is not None and not waits.done():
            waits.set_result(None)

    def _make_room(self) -> None:
        if not self.remote_open or self.done:
            return
        window = self.host.limits.stream_window
        owed = window - self._unread - self.recv_left
        if owed >= window // 2:
            self.host.grant(self, owed)
        self.extend(0)
