"""uvicorn's HTTP/1.1 with an end to what one client can hold: long heads, heads and bodies that stop coming,
answers that nobody takes, inferences of clients that have gone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application

MAX_HEAD_BYTES = 1 << 16
"""Of a request line and headers; what one read brings is let through."""
PATIENCE_S = 30.0
MIN_BODY_BYTES = 1 << 10
"""What a body must bring each time the patience is over."""
_INFERENCES = ("/infer", "/generate", "/generate_stream")
"""What ends with its client; whatever else was asked for is done all the same."""


class BoundedProtocol(HttpToolsProtocol):
    """One timer a connection: whatever stood as it stands now when the timer last rang is given up."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._requests = 0
        self._in_head = True
        self._in_body = False
        self._head_bytes = 0
        self._received = 0
        self._seen = (-1, 0, 0)
        self._timer: asyncio.TimerHandle | None = None
        self._inferring: asyncio.Task[Any] | None = None
        # Clients that make chunks themselves send a length too, and Triton takes both.
        self.parser.set_dangerous_leniencies(lenient_chunked_length=True)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(PATIENCE_S, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)
        if self._inferring is not None:
            self._inferring.cancel()

    def data_received(self, data: bytes) -> None:
        begun = self._requests
        self._received += len(data)
        super().data_received(data)
        if not self._in_head or self._requests != begun:
            self._head_bytes = 0
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._requests += 1
        self._in_head = True

    def on_headers_complete(self) -> None:
        self._in_head, self._in_body = False, True
        super().on_headers_complete()
        names = {name for name, _ in self.headers}
        if b"transfer-encoding" in names and b"content-length" in names:
            # RFC 9112, 6.1: so that who read the length on the way disagrees about this request alone.
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_body = False

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        inference = cycle.scope["path"].endswith(_INFERENCES)
        super()._start_asgi_task(cycle, self._with_client if inference else app)

    async def _with_client(self, scope: Any, receive: Any, send: Any) -> None:
        """The application, until its client is gone."""
        self._inferring = asyncio.current_task()
        try:
            await self.app(scope, receive, send)
        except asyncio.CancelledError:
            if not self.transport.is_closing():
                raise
        finally:
            self._inferring = None

    def _look(self) -> None:
        self._timer = self.loop.call_later(PATIENCE_S, self._look)
        unsent = self.transport.get_write_buffer_size()
        requests, had_unsent, received = self._seen
        self._seen = (self._requests, unsent, self._received)
        if unsent:
            stalled = unsent == had_unsent
        elif self.flow.read_paused or requests != self._requests:
            stalled = False
        else:
            stalled = self._in_head or (self._in_body and self._received - received < MIN_BODY_BYTES)
        if stalled:
            self.transport.abort()
