"""What goes to the client: replies within its windows, in turns, and at one write a read.

A small reply that nothing stands in the way of becomes three pieces of bytes at once. All others queue their
bytes with their streams, which take turns of one DATA frame each.
"""

from __future__ import annotations

from asyncio import WriteTransport
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from struct import Struct

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.blocks import HEADERS_BLOCK, OK_LITERALS, TRAILERS_BLOCK, ReplyBlocks
from clockwork_triton.frontend.http2.clock import Clock
from clockwork_triton.frontend.http2.message import PREFIX, PREFIX_BYTES
from clockwork_triton.frontend.http2.output import LARGE_BYTES, Output
from clockwork_triton.frontend.http2.stream import Stream
from clockwork_triton.inference import Buffer

_WRITE_BYTES = 256 << 10
"""Of queued bodies put into one write: enough for few system calls, little enough not to copy twice."""

_OPEN = Struct(">IBI2sIBIBI")
"""HEADERS of two bytes, and the header and message prefix of a DATA frame."""
_OPEN_HEAD = len(HEADERS_BLOCK) << 8 | frames.HEADERS
_DATA = Struct(">IBIBI")
_CLOSE = Struct(">IBIB")
"""HEADERS of one byte that end the stream."""
_CLOSE_HEAD = 1 << 8 | frames.HEADERS
_CLOSE_FLAGS = frames.END_HEADERS | frames.END_STREAM


class Sender:
    """`window`, `initial_window`, `frame_bytes`: what the client allows, for the connection, each new stream
    and each frame. `frames_sent` grows with every reply. `ended(stream)`, set by whoever keeps the streams,
    is called when a stream's last byte is on its way, and says whether it was the last stream; `waiting()`
    when a first byte has to wait, `overflowed()` when too much waits for a client that does not read."""

    ended: Callable[[Stream], bool]

    def __init__(
        self,
        clock: Clock,
        output_bytes: int,
        waiting: Callable[[], None],
        overflowed: Callable[[], None],
    ) -> None:
        self.window = frames.DEFAULT_WINDOW
        self.initial_window = frames.DEFAULT_WINDOW
        self.frame_bytes = frames.DEFAULT_FRAME_SIZE
        self.frames_sent = 0
        self.flush_due = False
        self.queued: dict[int, Stream] = {}
        self._blocks = ReplyBlocks()
        self._clock = clock
        self._waiting = waiting
        self._output = Output(output_bytes, overflowed)
        self._out = self._output.pieces
        self._ready: deque[Stream] = deque()
        self._clear = False
        self._direct = False

    @property
    def paused(self) -> bool:
        return self._output.paused

    def attach(self, transport: WriteTransport) -> None:
        self._output.attach(transport)
        self._judge()

    def detach(self) -> None:
        """Nothing more can be sent."""
        self._output.detach()
        for stream in list(self.queued.values()):
            self.drop(stream)
        self._judge()

    # What streams say.

    def reply(self, stream: Stream, parts: Sequence[Buffer], length: int) -> None:
        """The whole reply of a unary call, with status OK and no metadata; `length`: of all `parts`."""
        size = length + PREFIX_BYTES
        if (
            self._direct
            and stream.opening == b""
            and size <= self.window
            and size <= self.initial_window + stream.credit
            and size <= self.frame_bytes
        ):
            self.window -= size
            stream_id = stream.id
            out = self._out
            out.append(
                _OPEN.pack(_OPEN_HEAD, 4, stream_id, HEADERS_BLOCK, size << 8, 0, stream_id, 0, length)
            )
            out += parts
            out.append(_CLOSE.pack(_CLOSE_HEAD, _CLOSE_FLAGS, stream_id, TRAILERS_BLOCK))
            if size > LARGE_BYTES:
                self._output.has_large = True
            self.frames_sent += 1
            if self.ended(stream) and not self.flush_due:
                # The client waits for nothing else, and should not for what this turn has still to do.
                self.flush()
            else:
                self.flush_soon()
        else:
            self.message(stream, False, parts, length)
            self.finish(stream, b"")

    def message(
        self,
        stream: Stream,
        compressed: bool,
        parts: Sequence[Buffer],
        size: int,
        release: Callable[[], None] | None = None,
    ) -> None:
        """`size`: of all `parts` together. `release()` is called when their memory is needed no more."""
        if stream.opening is not None:
            self._open(stream)
        total = size + PREFIX_BYTES
        if (
            self._clear
            and total <= self.window
            and total <= self.initial_window + stream.credit
            and total <= self.frame_bytes
        ):
            self.window -= total
            stream.credit -= total
            self._out.append(_DATA.pack(total << 8, 0, stream.id, compressed, size))
            self._out += parts
            if size >= LARGE_BYTES:
                self._output.has_large = True
            self.frames_sent += 1
            if release is not None:
                self._output.has_lent = True
                self._output.release_later([release])
        else:
            if stream.outbox is None:
                stream.outbox = deque()
            stream.outbox.append(PREFIX.pack(compressed, size))
            stream.outbox.extend(part for part in parts if len(part))
            stream.queued_bytes += total
            if release is not None:
                stream.releases.append(release)
            if stream.id not in self.queued:
                self._enqueue(stream)
        self.flush_soon()

    def finish(self, stream: Stream, literals: bytes) -> None:
        """`literals`: the trailers' field lines; empty means OK."""
        stream.closing = literals
        if not stream.queued_bytes:
            self._close(stream)
        self.flush_soon()

    def headers(self, stream: Stream) -> None:
        """The reply's headers before its first message."""
        if stream.opening is not None:
            self._open(stream)
            self.flush_soon()

    def http_error(self, stream: Stream, status: int, literals: bytes) -> None:
        block = self._blocks.http_error(status, literals)
        self._end(stream, block)
        self.flush_soon()

    def drop(self, stream: Stream) -> None:
        """Forgets what the stream has queued."""
        if self.queued.pop(stream.id, None) is not None:
            if not stream.blocked:
                self._ready.remove(stream)
            stream.outbox = None
            stream.queued_bytes = 0
            self._judge()
        releases, stream.releases = stream.releases, []
        for release in releases:
            release()

    def control(self, frame: bytes) -> None:
        self._out.append(frame)
        self.flush_soon()

    def replace_output(self, data: bytes) -> None:
        """Sends this instead of all that waits."""
        self._out[:] = (data,)
        self.flush_soon()

    # What the client says.

    def resize_table(self, size: int) -> None:
        self._blocks.resize(size)
        self._judge()

    def unblock(self, streams: Iterable[Stream]) -> None:
        """Their windows have grown."""
        for stream in streams:
            if stream.blocked and self.initial_window + stream.credit > 0:
                stream.blocked = False
                self._ready.append(stream)
        self.flush_soon()

    # The transport.

    def pause(self) -> None:
        self._output.paused = True
        self._judge()

    def resume(self) -> None:
        self._output.resume()
        self._judge()
        self.flush()

    def flush_soon(self) -> None:
        if not self.flush_due:
            self.flush_due = True
            self._clock.at_turn_end(self.flush)

    def flush(self) -> None:
        self.flush_due = False
        output = self._output
        while self._ready and not output.paused and self._fill():
            output.write()
        output.write()
        if not self._direct:
            self._judge()

    def _fill(self) -> bool:
        """Gives streams their turns until a write is full; False if none could take one."""
        filled = 0
        ready = self._ready
        while ready and filled < _WRITE_BYTES and self.window > 0:
            stream = ready.popleft()
            allowed = min(self.window, self.initial_window + stream.credit, self.frame_bytes, _WRITE_BYTES)
            if allowed <= 0:
                stream.blocked = True
                continue
            filled += self._turn(stream, allowed)
            if stream.queued_bytes:
                ready.append(stream)
                continue
            del self.queued[stream.id]
            self._output.release_later(stream.releases)
            stream.releases.clear()
            if stream.closing is not None:
                self._close(stream)
            else:
                stream.sent()
        return filled > 0

    def _turn(self, stream: Stream, allowed: int) -> int:
        """One DATA frame of at most `allowed` bytes."""
        box = stream.outbox
        assert box
        size = min(allowed, stream.queued_bytes)
        self._out.append(frames.FRAME.pack(size << 8 | frames.DATA, 0, stream.id))
        left = size
        while left:
            part = box[0]
            if len(part) <= left:
                self._out.append(box.popleft())
                left -= len(part)
            else:
                view = memoryview(part)
                self._out.append(view[:left])
                box[0] = view[left:]
                left = 0
        if size >= LARGE_BYTES:
            self._output.has_large = True
        if stream.releases:
            self._output.has_lent = True
        self.window -= size
        stream.credit -= size
        stream.queued_bytes -= size
        stream.moved = True
        self.frames_sent += 1
        return size

    def _enqueue(self, stream: Stream) -> None:
        first = not self.queued
        self.queued[stream.id] = stream
        self._ready.append(stream)
        stream.blocked = False
        stream.moved = True
        self._clear = self._direct = False
        if first:
            self._waiting()

    def _open(self, stream: Stream) -> None:
        assert stream.opening is not None
        block = self._blocks.headers(stream.opening)
        stream.opening = None
        self._out.append(frames.headers(stream.id, block, self.frame_bytes, end_stream=False))

    def _close(self, stream: Stream) -> None:
        assert stream.closing is not None
        if stream.opening is None:
            block = self._blocks.trailers(stream.closing)
        else:
            block = self._blocks.trailers_only(stream.opening + (stream.closing or OK_LITERALS))
        self._end(stream, block)

    def _end(self, stream: Stream, block: bytes) -> None:
        self._out.append(frames.headers(stream.id, block, self.frame_bytes, end_stream=True))
        self.frames_sent += 1
        self.ended(stream)

    def _judge(self) -> None:
        """Whether the next reply can go straight out, and as a constant but for its message."""
        self._clear = not self.queued and self._output.takes_bytes
        self._direct = self._clear and self._blocks.steady
