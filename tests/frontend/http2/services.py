"""A service that echoes, in every way a handler can answer."""

from __future__ import annotations

from clockwork_triton.frontend.http2.compression import Buffer
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.frontend.http2.streaming import StreamCall
from clockwork_triton.frontend.http2.unary import UnaryCall

CALLBACK = "/test.Echo/Callback"
HELD = "/test.Echo/Held"
FAILS = "/test.Echo/Fails"
ASYNC = "/test.Echo/Async"
STREAM = "/test.Echo/Stream"


class Echo:
    """`held` collects the calls of the method that answers when the test does; `cancelled` counts."""

    def __init__(self) -> None:
        self.held: list[tuple[bytes, UnaryCall]] = []
        self.cancelled = 0
        self.stream_ended = 0
        self.service = Service()
        self.service.callback(CALLBACK.encode(), self.callback)
        self.service.callback(HELD.encode(), self.hold)
        self.service.callback(FAILS.encode(), self.fail)
        self.service.unary(ASYNC.encode(), self.answer)
        self.service.stream(STREAM.encode(), self.stream)

    def callback(self, request: Buffer, call: UnaryCall) -> None:
        call.reply(bytes(request))

    def hold(self, request: Buffer, call: UnaryCall) -> None:
        def cancelled() -> None:
            self.cancelled += 1

        call.on_cancel(cancelled)
        self.held.append((bytes(request), call))

    def fail(self, request: Buffer, call: UnaryCall) -> None:
        """The request names a status, or is not one, and so an accident."""
        raise RpcError(Status[bytes(request).decode()], "as asked: 100 % ü\n")

    async def answer(self, request: Buffer, call: UnaryCall) -> list[Buffer]:
        for name, value in call.metadata():
            if name.startswith("back-"):
                call.trailing_metadata([(name, value)])
        return [request[:10], request[10:]]

    async def stream(self, call: StreamCall) -> None:
        try:
            async for request in call:
                await call.write(bytes(request))
        finally:
            self.stream_ended += 1
