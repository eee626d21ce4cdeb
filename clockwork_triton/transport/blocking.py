"""A channel over a blocking socket: the worker's end."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable

from clockwork_triton.transport import messages
from clockwork_triton.transport.clock import ClockOffset
from clockwork_triton.transport.clockwork_pb2 import Envelope
from clockwork_triton.transport.framing import MAX_FRAME_BYTES, ChannelError, FrameDecoder, frame

_READ_BYTES = 1 << 16


class BlockingChannel:
    """One thread receives; any thread may send. Takes the socket over, and makes it blocking.

    `same_clock`: the peer is a process on this host.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        same_clock: bool = True,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._clock = clock
        self._max_frame_bytes = max_frame_bytes
        self._decoder = FrameDecoder(max_frame_bytes)
        self._arrived: deque[tuple[Envelope, int]] = deque()
        self._sending = threading.Lock()
        self.offset = ClockOffset(same_clock)

    def receive(self) -> tuple[Envelope, int] | None:
        """Waits for a message: the envelope, with times on our clock, and when it arrived. None at the end.

        ChannelError if what arrived is no message, or ends within one; OSError if the connection breaks.
        """
        while not self._arrived:
            data = self._socket.recv(_READ_BYTES)
            received_ns = self._clock()
            if not data:
                if self._decoder.pending:
                    raise ChannelError("the peer ended in the middle of a message")
                return None
            for payload in self._decoder.feed(data):
                envelope = messages.parse(payload)
                self.offset.observe(envelope.sent_ns, received_ns, envelope.min_delta_ns)
                messages.to_local(envelope, self.offset.offset_ns)
                self._arrived.append((envelope, received_ns))
        return self._arrived.popleft()

    def wait(self, timeout_s: float | None) -> bool:
        """Waits until `receive` has something to do, for ever where `timeout_s` is None; whether it has."""
        if self._arrived or timeout_s is None:
            return True
        # To the microsecond, where poll and epoll count milliseconds.
        return bool(select.select((self._socket,), (), (), timeout_s)[0])

    @property
    def pending(self) -> bool:
        """More has arrived in one piece with what was received last."""
        return bool(self._arrived)

    def send(self, envelope: Envelope) -> None:
        """Stamps and sends. OSError if the connection is broken, ValueError if the envelope is too large."""
        with self._sending:
            envelope.sent_ns = self._clock()
            envelope.min_delta_ns = self.offset.min_delta_ns
            self._socket.sendall(frame(envelope.SerializeToString(), self._max_frame_bytes))

    def end(self) -> None:
        """Ends the conversation: the thread that receives is told so too. From any thread."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._socket.close()
