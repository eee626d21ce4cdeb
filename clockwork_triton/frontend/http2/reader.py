"""Bytes to frames.

Reads of any size come in; DATA goes on piece by piece as it arrives, every other frame whole. While much of a
large message is due, the transport is handed that message's own memory to read into.
"""

from __future__ import annotations

from typing import Protocol

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.call import Call
from clockwork_triton.frontend.http2.errors import ConnectionFault, ErrorCode, StreamFault
from clockwork_triton.frontend.http2.limits import Limits

_IN_PLACE_BYTES = 64 << 10
"""From here on a read of its own is cheaper than a copy."""
_CONTROL_BYTES = 16 << 10
"""Longest control frame: 2,700 settings."""

_DATA, _HEADERS, _END_STREAM = frames.DATA, frames.HEADERS, frames.END_STREAM
_WINDOW_UPDATE, _INCREMENT, _MAX_WINDOW = frames.WINDOW_UPDATE, frames.UINT32, frames.MAX_WINDOW
_PLAIN_HEADERS = frames.END_HEADERS
_PLAIN_MASK = frames.END_HEADERS | frames.PADDED | frames.PRIORITISED


class ForeignProtocol(Exception):
    """The client does not speak HTTP/2."""


class FrameSink(Protocol):
    """The connection, as its reader knows it. Where nothing else is said, ConnectionFault and StreamFault may
    be raised."""

    recv_left: int
    """What the client may still send in DATA frames."""
    streams: dict[int, Call]

    def greet(self) -> None:
        """The client's preface is here."""

    def control_frame(self, kind: int, flags: int, stream_id: int, payload: bytes) -> None: ...

    def window_update(self, stream_id: int, increment: int) -> None:
        """The most frequent of the control frames."""

    def request(self, stream_id: int, block: bytes, ended: bool) -> None:
        """A whole header block."""

    def data_frame(self, stream_id: int, length: int, ends: bool) -> Call | None:
        """A DATA frame of that many bytes begins: whose are they?"""

    def idle_data(self, call: Call | None, padding: int) -> None:
        """A DATA frame had `padding` bytes that are no data, and perhaps nothing else."""

    def stream_fault(self, stream_id: int, fault: StreamFault) -> None:
        """Raises ConnectionFault only."""


class HeaderBlock:
    """A block that comes in several frames."""

    def __init__(self, stream_id: int, ended: bool, start: bytes) -> None:
        self.stream_id = stream_id
        self.ended = ended
        self.pieces = [start]
        self.size = len(start)


class FrameReader:
    """Reads into `buffer`, which many readers may share: it is empty again when `received` returns."""

    def __init__(self, sink: FrameSink, buffer: memoryview, limits: Limits) -> None:
        self._sink = sink
        self._buffer = buffer
        self._frame_bytes = limits.frame_bytes
        self._block_bytes = 4 * limits.header_list_bytes
        self._continuations = limits.continuations
        self._preface = frames.PREFACE
        self._begun = False
        self._rest = b""
        self._block: HeaderBlock | None = None
        # Of the DATA frame that has not wholly arrived: whose it is, how much is to come, how much of that is
        # padding, and whether it ends its stream.
        self._call: Call | None = None
        self._left = 0
        self._padding = 0
        self._ends = False
        self._in_place = False

    @property
    def begun(self) -> bool:
        """The client has introduced itself."""
        return self._begun

    def get_buffer(self, size: int) -> memoryview:
        """Of at most `size` bytes, unless they all belong to one large message."""
        content = self._left - self._padding
        if content >= _IN_PLACE_BYTES and self._call is not None and self._call.partial is not None:
            room = self._call.partial.room(content)
            if room is not None and len(room) >= _IN_PLACE_BYTES:
                self._in_place = True
                return room
        return self._buffer[:size]

    def received(self, count: int) -> None:
        """`count` bytes were put into what `get_buffer` returned last. Raises ConnectionFault, and
        ForeignProtocol."""
        if self._in_place:
            self._received_in_place(count)
            return
        data = bytes(self._buffer[:count])
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if self._preface:
            data = self._skip_preface(data)
        self._read(data)

    def discard(self) -> None:
        """As `received`, for a connection that is over."""
        self._in_place = False

    def _read(self, data: bytes) -> None:
        sink, streams = self._sink, self._sink.streams
        unpack, frame_bytes = frames.FRAME.unpack_from, self._frame_bytes
        at, end = 0, len(data)
        while True:
            if self._left:
                at = self._continue_data(data, at, end)
                if self._left:
                    return
            if end - at < frames.HEADER_BYTES:
                break
            head, flags, stream_id = unpack(data, at)
            stream_id &= 0x7FFFFFFF
            kind = head & 0xFF
            start = at + frames.HEADER_BYTES
            stop = start + (head >> 8)
            try:
                if stop <= end and self._begun and self._block is None:
                    if kind == _DATA:
                        call = streams.get(stream_id)
                        length = stop - start
                        if (
                            call is not None
                            and 0 < length <= call.recv_left
                            and length <= sink.recv_left
                            and length <= frame_bytes
                            and flags <= _END_STREAM
                            and call.remote_open
                        ):
                            at = stop
                            call.recv_left -= length
                            sink.recv_left -= length
                            call.receive(data, start, stop, flags == _END_STREAM)
                            if call.partial is not None:
                                call.extend(0)
                            continue
                    elif (
                        kind == _HEADERS
                        and flags & _PLAIN_MASK == _PLAIN_HEADERS
                        and stop - start <= _CONTROL_BYTES
                    ):
                        at = stop
                        sink.request(stream_id, data[start:stop], flags & _END_STREAM != 0)
                        continue
                    elif kind == _WINDOW_UPDATE and stop - start == _INCREMENT.size:
                        at = stop
                        sink.window_update(stream_id, _INCREMENT.unpack_from(data, start)[0] & _MAX_WINDOW)
                        continue
                after = self._other_frame(head, flags, stream_id, data, start)
                if after < 0:
                    break
                at = after
            except StreamFault as fault:
                at = stop
                sink.stream_fault(stream_id, fault)
        if at < end:
            self._rest = data[at:]

    def _skip_preface(self, data: bytes) -> bytes:
        known = min(len(self._preface), len(data))
        if data[:known] != self._preface[:known]:
            raise ForeignProtocol
        self._preface = self._preface[known:]
        if not self._preface:
            self._sink.greet()
        return data[known:]

    def _other_frame(self, head: int, flags: int, stream_id: int, data: bytes, start: int) -> int:
        """All but the usual. Returns where the next frame begins, or -1 if this one is not all there."""
        kind = head & 0xFF
        length = head >> 8
        stop = start + length
        if length > self._frame_bytes:
            raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, f"a frame has {length} bytes")
        if not self._begun and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a connection begins with SETTINGS")
        if self._block is not None and (kind != frames.CONTINUATION or stream_id != self._block.stream_id):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a header block is interrupted")
        if kind == _DATA:
            return self._begin_data(flags, stream_id, data, start, length)
        if length > _CONTROL_BYTES:
            if kind > frames.CONTINUATION:
                self._sink.control_frame(kind, flags, stream_id, b"")
                self._begin_skip(length)
                return start
            if length > self._block_bytes or kind not in (_HEADERS, frames.CONTINUATION):
                raise ConnectionFault(
                    ErrorCode.ENHANCE_YOUR_CALM, f"a frame of type {kind} has {length} bytes"
                )
        if stop > len(data):
            return -1
        self._begun = True
        payload = data[start:stop]
        if kind == _HEADERS:
            self._headers(flags, stream_id, payload)
        elif self._block is not None:
            self._continuation(self._block, flags, payload)
        else:
            self._sink.control_frame(kind, flags, stream_id, payload)
        return stop

    def _headers(self, flags: int, stream_id: int, payload: bytes) -> None:
        padding = 0
        start = 0
        if flags & frames.PADDED:
            if not payload:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame has 1 byte at least")
            padding = payload[0]
            start = 1
        if flags & frames.PRIORITISED:
            start += 5
        if start + padding > len(payload):
            raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a HEADERS frame is all padding and more")
        block = payload[start : len(payload) - padding]
        ended = flags & _END_STREAM != 0
        if flags & frames.END_HEADERS:
            self._sink.request(stream_id, block, ended)
        else:
            self._block = HeaderBlock(stream_id, ended, block)

    def _continuation(self, block: HeaderBlock, flags: int, payload: bytes) -> None:
        block.pieces.append(payload)
        block.size += len(payload)
        if block.size > self._block_bytes or len(block.pieces) > self._continuations + 1:
            raise ConnectionFault(ErrorCode.ENHANCE_YOUR_CALM, "the header block is too long")
        if flags & frames.END_HEADERS:
            self._block = None
            self._sink.request(block.stream_id, b"".join(block.pieces), block.ended)

    def _begin_data(self, flags: int, stream_id: int, data: bytes, start: int, length: int) -> int:
        padding = 0
        overhead = 0
        if flags & frames.PADDED:
            if length == 0:
                raise ConnectionFault(ErrorCode.FRAME_SIZE_ERROR, "a padded frame has 1 byte at least")
            if start >= len(data):
                return -1
            padding = data[start]
            overhead = 1
            if padding >= length:
                raise ConnectionFault(ErrorCode.PROTOCOL_ERROR, "a DATA frame is all padding and more")
        self._begin_skip(length - overhead)
        self._ends = flags & _END_STREAM != 0
        try:
            call = self._call = self._sink.data_frame(stream_id, length, self._ends)
            self._padding = padding
            if overhead or (length == 0 and not self._ends):
                self._sink.idle_data(call, overhead + padding)
            if not self._left and call is not None:
                call.receive(data, start, start, self._ends)
        except StreamFault as fault:
            self._call = None
            self._sink.stream_fault(stream_id, fault)
        return start + overhead

    def _begin_skip(self, length: int) -> None:
        self._call = None
        self._left = length
        self._padding = 0
        self._ends = False

    def _continue_data(self, data: bytes, at: int, end: int) -> int:
        taken = min(self._left, end - at)
        content = min(taken, max(0, self._left - self._padding))
        self._left -= taken
        call = self._call
        if call is not None:
            try:
                call.receive(data, at, at + content, self._ends and not self._left)
                call.extend(max(0, self._left - self._padding))
            except StreamFault as fault:
                self._call = None
                self._sink.stream_fault(call.id, fault)
        return at + taken

    def _received_in_place(self, count: int) -> None:
        self._in_place = False
        self._left -= count
        call = self._call
        assert call is not None
        try:
            call.advance(count, self._ends and not self._left)
            call.extend(self._left - self._padding)
        except StreamFault as fault:
            self._call = None
            self._sink.stream_fault(call.id, fault)
