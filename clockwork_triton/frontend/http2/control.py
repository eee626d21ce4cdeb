"""The frames that are not requests: what they change, and how many of them a client may send."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.call import Call
from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.errors import ConnectionFault, ErrorCode, StreamFault
from clockwork_triton.frontend.http2.keepalive import PingGuard
from clockwork_triton.frontend.http2.limits import Allowance, Limits
from clockwork_triton.frontend.http2.sender import Sender

DRAIN_PING = b"draining"
KEEPALIVE_PING = b"keepaliv"

_CALM = ErrorCode.ENHANCE_YOUR_CALM
_LENGTHS = {frames.PRIORITY: 5, frames.RST_STREAM: 4, frames.PING: 8, frames.WINDOW_UPDATE: 4}
_OF_STREAMS = frozenset((frames.PRIORITY, frames.RST_STREAM))
_OF_CONNECTIONS = frozenset((frames.SETTINGS, frames.PING, frames.GOAWAY))
LONGEST_CONTROL_FRAME = 16 << 10


class Peer(Protocol):
    """The connection, as its control frames know it."""

    clock: Clock
    limits: Limits
    now_ns: int
    sender: Sender
    streams: dict[int, Call]

    def reset_by_client(self, call: Call) -> None: ...

    def is_idle(self, stream_id: int) -> bool: ...

    def drain_acknowledged(self) -> None: ...


class Control:
    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        limits, now_ns = peer.limits, peer.clock.now_ns()
        self._pings = PingGuard(limits)
        self._frames = Allowance(limits.control_frames, now_ns)
        self._small_frames = Allowance(limits.small_frames, now_ns)
        self._young_resets = Allowance(limits.young_resets, now_ns)
        self._paid_for = 0
        self._handlers: dict[int, Callable[[int, int, bytes], None]] = {
            frames.PRIORITY: self._priority,
            frames.RST_STREAM: self._rst_stream,
            frames.SETTINGS: self._settings,
            frames.PUSH_PROMISE: self._push_promise,
            frames.PING: self._ping,
            frames.GOAWAY: self._goaway,
            frames.WINDOW_UPDATE: self._window_update,
            frames.CONTINUATION: self._continuation,
        }

    def receive(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None:
        """One whole frame of any type but DATA and HEADERS."""
        expected = _LENGTHS.get(kind)
        if expected is not None and len(payload) != expected:
            # For PRIORITY, an error of the stream would do; but whether its stream is still there depends on
            # how the bytes arrive, and RFC 9113 (5.4.2) lets the connection end instead.
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame of type {kind} has {expected} bytes")
        if (kind in _OF_STREAMS and not stream_id) or (kind in _OF_CONNECTIONS and stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind} on stream {stream_id}")
        handler = self._handlers.get(kind)
        if handler is None:
            self.spend("frames of unknown types")
        else:
            handler(flags, stream_id, payload)

    def spend(self, what: str) -> None:
        """One more frame that asks for nothing."""
        if not self._frames.spend(self._peer.now_ns):
            raise ConnectionFault(_CALM, f"too many {what}")

    def spend_young(self, call: Call) -> None:
        """The client has made a call end before its answer."""
        # Not its arrival: what waits long to be read would be old at its birth.
        age_ns = self._peer.now_ns - call.begun_ns
        if age_ns < self._peer.limits.reset_age_ns and not self._young_resets.spend(self._peer.now_ns):
            raise ConnectionFault(_CALM, "too many streams that end at once")

    def _spend_small(self, what: str) -> None:
        sent = self._peer.sender.frames_sent
        if sent != self._paid_for:
            self._small_frames.earn(2 * (sent - self._paid_for))
            self._paid_for = sent
        if not self._small_frames.spend(self._peer.now_ns):
            raise ConnectionFault(_CALM, f"too many {what}")

    def _priority(self, flags: int, stream_id: int, payload: bytes) -> None:
        self.spend("PRIORITY frames")

    def _rst_stream(self, flags: int, stream_id: int, payload: bytes) -> None:
        call = self._peer.streams.get(stream_id)
        if call is not None:
            self._peer.reset_by_client(call)
            self.spend_young(call)
        elif self._peer.is_idle(stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "RST_STREAM of an idle stream")
        else:
            self._spend_small("RST_STREAM frames")

    def _settings(self, flags: int, stream_id: int, payload: bytes) -> None:
        if flags & frames.ACK:
            if payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "an acknowledgement holds no settings")
            return
        if len(payload) % frames.SETTING.size:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a setting has 6 bytes")
        self.spend("SETTINGS frames")
        for name, value in frames.SETTING.iter_unpack(payload):
            self._set(name, value)
        self._peer.sender.control(frames.frame(frames.SETTINGS, frames.ACK, 0))

    def _set(self, name: int, value: int) -> None:
        sender = self._peer.sender
        if name == frames.HEADER_TABLE_SIZE:
            sender.resize_table(value)
        elif name == frames.INITIAL_WINDOW_SIZE:
            if value > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the initial window is too large")
            sender.initial_window = value
            streams = self._peer.streams.values()
            if any(value + stream.credit > frames.MAX_WINDOW for stream in streams):
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "a stream's window is too large")
            sender.unblock(streams)
        elif name == frames.MAX_FRAME_SIZE:
            if not frames.DEFAULT_FRAME_SIZE <= value <= frames.LARGEST_FRAME_SIZE:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "no such frame size")
            sender.frame_bytes = value
        elif name == frames.ENABLE_PUSH and value > 1:
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "ENABLE_PUSH is 0 or 1")

    def _push_promise(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "clients do not push")

    def _ping(self, flags: int, stream_id: int, payload: bytes) -> None:
        peer = self._peer
        if flags & frames.ACK:
            if payload == DRAIN_PING:
                peer.drain_acknowledged()
            return
        if not self._pings.admits(peer.now_ns, peer.sender.frames_sent, bool(peer.streams)):
            raise ConnectionFault(_CALM, "too_many_pings")
        peer.sender.control(frames.ping(payload, ack=True))

    def _goaway(self, flags: int, stream_id: int, payload: bytes) -> None:
        if len(payload) < 8:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a GOAWAY frame has 8 bytes at least")
        # A server opens no streams, so there is nothing to stop; the client closes when it has its answers.
        self.spend("GOAWAY frames")

    def _window_update(self, flags: int, stream_id: int, payload: bytes) -> None:
        self.window_update(stream_id, frames.UINT32.unpack(payload)[0] & frames.MAX_WINDOW)

    def window_update(self, stream_id: int, increment: int) -> None:
        """Of every reply most clients report twice that they have read it."""
        self._spend_small("WINDOW_UPDATE frames")
        sender = self._peer.sender
        if stream_id == 0:
            if increment == 0:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a window grows by 1 at least")
            if sender.window + increment > frames.MAX_WINDOW:
                raise ConnectionFault(ErrorCode.FLOW_CONTROL_ERROR, "the connection's window is too large")
            sender.window += increment
            return
        stream = self._peer.streams.get(stream_id)
        if stream is None:
            if self._peer.is_idle(stream_id):
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "WINDOW_UPDATE of an idle stream")
            return
        if increment == 0:
            raise StreamFault(ErrorCode.PROTOCOL_ERROR, "a window grows by 1 at least")
        if sender.initial_window + stream.credit + increment > frames.MAX_WINDOW:
            raise StreamFault(ErrorCode.FLOW_CONTROL_ERROR, "the stream's window is too large")
        stream.credit += increment
        if stream.blocked:
            sender.unblock((stream,))

    def _continuation(self, flags: int, stream_id: int, payload: bytes) -> None:
        raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "CONTINUATION without HEADERS")
