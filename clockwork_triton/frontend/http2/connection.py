"""One client's connection: an asyncio protocol without asyncio, for transport, clock and read buffer are
handed in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import cast

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.alarm import Alarm
from clockwork_triton.frontend.http2.arrival import Arrival, unread_bytes
from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.control import DRAIN_PING, KEEPALIVE_PING
from clockwork_triton.frontend.http2.errors import ConnectionFault, ErrorCode
from clockwork_triton.frontend.http2.keepalive import KeepAlive
from clockwork_triton.frontend.http2.lifetime import Lifetime
from clockwork_triton.frontend.http2.limits import Limits, RequestMemory
from clockwork_triton.frontend.http2.peer import peer_name
from clockwork_triton.frontend.http2.reader import ForeignProtocol, FrameReader
from clockwork_triton.frontend.http2.sender import Sender
from clockwork_triton.frontend.http2.service import Service
from clockwork_triton.frontend.http2.session import Session
from clockwork_triton.frontend.http2.share import ReadShare
from clockwork_triton.frontend.http2.stall import StallWatch
from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.frontend.http2.stream import Stream
from clockwork_triton.frontend.http2.streaming import StreamCall

_log = logging.getLogger(__name__)

_FOREIGN = b"This port speaks gRPC, over HTTP/2 only.\n"
_FOREIGN_ANSWER = (
    b"HTTP/1.1 505 HTTP Version Not Supported\r\nConnection: close\r\nContent-Type: text/plain\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_FOREIGN), _FOREIGN)
)


class Connection(asyncio.BufferedProtocol):
    """`buffer` is what it reads into; connections of one event loop may share it. `opened(connection)` is
    called when it stands, after any TLS handshake, and `closed(connection)` when it is lost."""

    def __init__(
        self,
        service: Service,
        limits: Limits,
        *,
        memory: RequestMemory,
        clock: Clock,
        buffer: memoryview,
        opened: Callable[[Connection], None],
        closed: Callable[[Connection], None],
    ) -> None:
        self._limits = limits
        self._clock = clock
        self._opened = opened
        self._closed = closed
        self._transport: asyncio.Transport | None = None
        self._draining = False
        self._dead = False
        self.sender = Sender(clock, limits.output_bytes, self._waiting, self.abort)
        self.session = Session(
            service,
            limits,
            memory=memory,
            clock=clock,
            sender=self.sender,
            drain_acknowledged=self._drain_acknowledged,
            emptied=self._emptied,
        )
        self._reader = FrameReader(self.session, buffer, limits)
        self._offered = 0
        self._share = ReadShare(len(buffer))
        self._arrival = Arrival(clock.readable_since_ns, self._unread)
        self._stall = StallWatch(clock, limits.write_stall_ns, self.sender, self._stalled)
        calls = self.session.streams
        self._keepalive = KeepAlive(
            clock,
            limits,
            calls,
            self.sender,
            heard_ns=self._heard_ns,
            ping=self._send_ping,
            lost=self.abort,
        )
        self._lifetime = Lifetime(
            clock, limits, calls, heard_ns=self._heard_ns, drain=self.drain, end=self.end
        )
        self._handshake = Alarm(clock, self.abort)
        self._drain_ack = Alarm(clock, self._drain_acknowledged)
        self._last_words = Alarm(clock, self.abort)

    # The transport's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are of no asyncio class.
        self._transport = transport = cast(asyncio.Transport, transport)
        self._opened(self)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and tls.selected_alpn_protocol() != "h2":
            self._dead = True
            transport.close()
            return
        self.session.peer = peer_name(transport)
        self.sender.attach(transport)
        self._handshake.set(self._limits.handshake_ns)
        self._keepalive.start()
        self._lifetime.start()

    def get_buffer(self, sizehint: int) -> memoryview:
        buffer = self._reader.get_buffer(self._share.size)
        self._offered = len(buffer)
        return buffer

    def buffer_updated(self, nbytes: int) -> None:
        full = nbytes == self._offered
        if self._dead:
            self._reader.discard()
            if full and self._transport is not None:
                # What was under way is read by now. Whoever still sends is not worth the time.
                self._transport.pause_reading()
            return
        session, sender = self.session, self.sender
        now_ns = self._clock.now_ns()
        session.begin_read(now_ns, self._arrival.of_read(nbytes, full, now_ns))
        # Whatever is said while this read is looked at goes out with it.
        sender.flush_due = True
        try:
            self._reader.received(nbytes)
            if self._handshake.is_set and self._reader.begun:
                self._handshake.cancel()
        except ConnectionFault as fault:
            self._fail(fault)
        except ForeignProtocol:
            self._refuse_foreigner()
        except Exception:
            _log.exception("a connection failed on an error of the server's own")
            self._fail(ConnectionFault(ErrorCode.INTERNAL_ERROR, "an error of the server's own"))
        session.end_read()
        sender.flush()
        if full:
            self._share.spent(self._clock.now_ns() - now_ns)

    def eof_received(self) -> bool:
        return False

    def pause_writing(self) -> None:
        self.sender.pause()
        self._stall.watch()

    def resume_writing(self) -> None:
        self._stall.resumed()
        self.sender.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        self._dead = True
        self._transport = None
        self.sender.detach()
        self.session.cancel_all()
        for timed in (
            self._stall,
            self._keepalive,
            self._lifetime,
            self._handshake,
            self._drain_ack,
            self._last_words,
        ):
            timed.cancel()
        self._closed(self)

    # The server's wishes.

    def drain(self) -> None:
        """Lets the calls under way end, and those that are on their way here (RFC 9113, 6.8), then closes."""
        if self._draining or self._dead:
            return
        self._draining = True
        if not self._reader.begun:
            self._close()
            return
        self.sender.control(frames.goaway(frames.MAX_STREAM_ID, ErrorCode.NO_ERROR))
        self.sender.control(frames.ping(DRAIN_PING))
        self._drain_ack.set(self._limits.drain_ack_ns)

    def end(self) -> None:
        """Answers every call with UNAVAILABLE and closes."""
        if not self._dead:
            self._draining = True
            self.session.answer_all(RpcError(Status.UNAVAILABLE, "the server is shutting down"))
            self._fail(ConnectionFault(ErrorCode.NO_ERROR, ""))
            self.sender.flush()

    def abort(self) -> None:
        """Closes without another word."""
        self._dead = True
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, fault: ConnectionFault) -> None:
        """Says why, and reads on for a moment: closing at once would reset the TCP connection, and the reason
        with it."""
        _log.debug("%s: %s, %s", self.session.peer, fault.code.name, fault.reason)
        self._dead = True
        self.session.cancel_all()
        self.sender.control(frames.goaway(self.session.last_id, fault.code, fault.reason))
        self._last_words.set(self._limits.linger_ns)

    def _refuse_foreigner(self) -> None:
        self._dead = True
        self.sender.replace_output(_FOREIGN_ANSWER)
        self._last_words.set(self._limits.linger_ns)

    def _drain_acknowledged(self) -> None:
        if not self._draining or self._dead:
            return
        self._drain_ack.cancel()
        self.sender.control(frames.goaway(self.session.last_id, ErrorCode.NO_ERROR))
        self.session.stop_accepting()

    def _emptied(self) -> None:
        # Whoever reports this may have bytes that are not in the sender yet.
        self._clock.call_soon(self._close)

    def _close(self) -> None:
        if self._dead or self._transport is None:
            return
        self.sender.flush()
        self._dead = True
        self._transport.close()
        self._last_words.set(self._limits.write_stall_ns)

    def _waiting(self) -> None:
        self._stall.watch()

    def _stalled(self, stream: Stream | None) -> None:
        if stream is None:
            self.abort()
        elif not isinstance(stream, StreamCall):
            # A handler of a bidirectional stream waits when little is queued; that may last.
            self.session.reset(stream.id, ErrorCode.CANCEL)

    def _unread(self) -> int:
        assert self._transport is not None
        return unread_bytes(self._transport.get_extra_info("socket"))

    def _heard_ns(self) -> int:
        return self.session.now_ns

    def _send_ping(self) -> None:
        self.sender.control(frames.ping(KEEPALIVE_PING))
