"""A channel on an asyncio event loop: the controller's end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import cast

from clockwork_triton.transport import messages
from clockwork_triton.transport.clock import ClockOffset
from clockwork_triton.transport.clockwork_pb2 import Envelope
from clockwork_triton.transport.framing import MAX_FRAME_BYTES, ChannelError, FrameDecoder, frame

_READ_BYTES = 1 << 16


class Channel(asyncio.BufferedProtocol):
    """One ordered, framed connection, for `create_connection` and its kin.

    `on_message` is called with each envelope and the time it arrived, the times inside already on our clock;
    `on_lost` once, with the reason, when the connection is gone for any reason but `close`. The first
    envelope of a turn of the event loop is written at once, those that follow it in the same turn leave in
    one write at its end, of which `at_turn_end` tells. `same_clock`: the peer is a process on this host.
    """

    def __init__(
        self,
        on_message: Callable[[Envelope, int], None],
        on_lost: Callable[[str], None],
        at_turn_end: Callable[[Callable[[], None]], object],
        *,
        same_clock: bool = True,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._on_message = on_message
        self._on_lost = on_lost
        self._at_turn_end = at_turn_end
        self._clock = clock
        self._max_frame_bytes = max_frame_bytes
        self._decoder = FrameDecoder(max_frame_bytes)
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []
        self._wrote_this_turn = False
        self._closed = False
        self._reason = ""
        self.offset = ClockOffset(same_clock)

    @property
    def is_open(self) -> bool:
        return self._transport is not None and not self._closed

    def send(self, envelope: Envelope) -> None:
        """Stamps and sends the envelope; does nothing once the channel is closed or lost.

        ValueError if it is larger than a frame may be.
        """
        if self._transport is None or self._closed:
            return
        envelope.sent_ns = self._clock()
        envelope.min_delta_ns = self.offset.min_delta_ns
        data = frame(envelope.SerializeToString(), self._max_frame_bytes)
        if self._wrote_this_turn:
            self._outgoing.append(data)
            return
        self._transport.write(data)
        self._wrote_this_turn = True
        self._at_turn_end(self._end_turn)

    def close(self) -> None:
        """Closes the connection after what was sent has left; `on_lost` is not called."""
        if self._transport is not None and not self._closed:
            self._flush()
            self._transport.close()
        self._closed = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        received_ns = self._clock()
        try:
            for payload in self._decoder.feed(self._buffer[:nbytes]):
                if self._closed:
                    return
                envelope = messages.parse(payload)
                self.offset.observe(envelope.sent_ns, received_ns, envelope.min_delta_ns)
                messages.to_local(envelope, self.offset.offset_ns)
                self._on_message(envelope, received_ns)
        except ChannelError as error:
            self._lose(str(error))

    def eof_received(self) -> bool:
        if self._decoder.pending:
            self._reason = "the peer ended in the middle of a message"
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(str(exc) if exc is not None else self._reason or "the peer closed the channel")

    def _end_turn(self) -> None:
        self._wrote_this_turn = False
        self._flush()

    def _flush(self) -> None:
        if self._outgoing and self._transport is not None and not self._closed:
            self._transport.write(b"".join(self._outgoing))
        self._outgoing.clear()

    def _lose(self, reason: str) -> None:
        if self._closed:
            return
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        self._on_lost(reason)
