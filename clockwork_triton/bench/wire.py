"""A gRPC client that costs little: a measuring client must not be what it measures.

Speaks HTTP/2 (RFC 9113) for unary calls of one method on one plain connection, in a tenth of grpcio's CPU
time. Shares nothing with the server, so that neither hides the other's mistakes.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import hpack

from clockwork_triton.bench import frames
from clockwork_triton.bench.frames import frame

LARGEST_WINDOW = 2**31 - 1
DEFAULT_WINDOW = 65535
RETRY_S = 0.001
CODES = (
    *("OK", "CANCELLED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)
_NAMES = {str(number).encode(): name for number, name in enumerate(CODES)}


class Reply(NamedTuple):
    """`status` is the gRPC code's name; `body` is the response if it is OK, the details otherwise.

    `answered`: by the server. False where the connection broke or the stream was reset.
    """

    status: str
    body: bytes
    answered: bool = True


Done = Callable[[Reply], None]


class _Stream:
    """A call that has not been answered. `unsent`: what flow control keeps back of the request."""

    __slots__ = ("done", "fields", "received", "request", "unsent", "window")

    def __init__(self, request: bytes, done: Done, window: int) -> None:
        self.request = request
        self.done = done
        self.window = window
        self.received = b""
        self.fields: dict[bytes, bytes] = {}
        self.unsent = memoryview(b"")


class Connection(asyncio.Protocol):
    """When it breaks, every call that is open is answered UNAVAILABLE, and so is every later one."""

    def __init__(self, authority: str, path: str) -> None:
        fields = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority)]
        fields += [("te", "trailers"), ("content-type", "application/grpc")]
        # As gRPC's clients do: the first block fills the server's table, all others point into it.
        encoder = hpack.Encoder()
        self._block = bytes(encoder.encode(fields))
        self._next_block = bytes(encoder.encode(fields))
        self._decoder = hpack.Decoder()
        self._blocks: dict[bytes, dict[bytes, bytes]] = {}
        self._transport: asyncio.Transport | None = None
        self._streams: dict[int, _Stream] = {}
        self._most_streams = LARGEST_WINDOW
        self._waiting: deque[tuple[bytes, Done]] = deque()
        self._blocked: deque[int] = deque()
        self._next_stream = 1
        self._window = self._stream_window = DEFAULT_WINDOW
        self._frame_size = 16384
        self._consumed = 0
        self._received = bytearray()
        self._out: list[bytes | memoryview] = []
        self._broken = b""
        self._settled: asyncio.Event = asyncio.Event()

    @property
    def broken(self) -> bool:
        """It takes no further calls."""
        return bool(self._broken)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=1 << 30)
        # Without a table, equal header blocks mean the same: each is decoded once.
        settings = (
            (frames.HEADER_TABLE_SIZE, 0),
            (frames.ENABLE_PUSH, 0),
            (frames.INITIAL_WINDOW_SIZE, LARGEST_WINDOW),
        )
        payload = b"".join(struct.pack(">HI", *setting) for setting in settings)
        widen = struct.pack(">I", LARGEST_WINDOW - DEFAULT_WINDOW)
        transport.write(
            frames.PREFACE + frame(frames.SETTINGS, 0, 0, payload) + frame(frames.WINDOW_UPDATE, 0, 0, widen)
        )

    def connection_lost(self, error: Exception | None) -> None:
        self._break(f"the connection was lost: {error or 'closed by the server'}")
        self._settled.set()

    async def settled(self) -> None:
        """Waits for the server's settings. ConnectionError if it goes before they come."""
        await self._settled.wait()
        if self._broken:
            raise ConnectionError(self._broken.decode(errors="replace"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def call(self, request: bytes) -> asyncio.Future[Reply]:
        """Sends at once, as far as the server's limits allow. Cancelling the future resets the stream."""
        reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

        def done(outcome: Reply) -> None:
            if not reply.done():
                reply.set_result(outcome)

        self.send(request, done)
        self.flush()
        reply.add_done_callback(lambda future: self._cancel(done) if future.cancelled() else None)
        return reply

    def send(self, request: bytes, done: Done) -> None:
        """Begins a call; `done(reply)` is called when it ends. What is to be sent leaves with `flush`, or
        with what the next read causes."""
        if self._broken or self._transport is None:
            done(Reply("UNAVAILABLE", self._broken, False))
        elif len(self._streams) >= self._most_streams:
            self._waiting.append((request, done))
        else:
            self._open(request, done)

    def flush(self) -> None:
        if self._out:
            out, self._out = self._out, []
            if self._transport is not None and not self._transport.is_closing():
                self._transport.write(b"".join(out))

    def _open(self, request: bytes, done: Done) -> None:
        number, self._next_stream = self._next_stream, self._next_stream + 2
        stream = self._streams[number] = _Stream(request, done, self._stream_window)
        size = len(request) + 5
        prefix = b"\0" + len(request).to_bytes(4, "big")
        self._out.append(frame(frames.HEADERS, frames.END_HEADERS, number, self._block))
        self._block = self._next_block
        if size <= min(self._window, stream.window, self._frame_size) and not self._blocked:
            self._window -= size
            self._out += (frames.head(size, frames.DATA, frames.END_STREAM, number), prefix, request)
        else:
            stream.unsent = memoryview(prefix + request)
            self._blocked.append(number)
            self._pump()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        position = 0
        while len(received) - position >= 9:
            head, flags, number = frames.HEAD.unpack_from(received, position)
            end = position + 9 + (head >> 8)
            if end > len(received):
                break
            self._handle(head & 0xFF, flags, number & LARGEST_WINDOW, bytes(received[position + 9 : end]))
            position = end
        del received[:position]
        self.flush()

    def _handle(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if kind == frames.DATA:
            stream = self._streams.get(number)
            if stream is not None:
                stream.received += frames.unpadded(payload, flags)
            self._count(len(payload))
        elif kind == frames.HEADERS:
            # Response blocks are far below a frame's size.
            assert flags & frames.END_HEADERS, "a header block in pieces"
            block = frames.unpadded(payload, flags)
            self._head(number, block[5:] if flags & frames.PRIORITY else block)
        elif kind == frames.RST_STREAM:
            self._reset(number, int.from_bytes(payload, "big"))
        elif kind == frames.WINDOW_UPDATE:
            self._widen(number, int.from_bytes(payload, "big"))
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._settings(payload)
        elif kind == frames.PING and not flags & frames.ACK:
            self._out.append(frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.GOAWAY:
            self._go_away(int.from_bytes(payload[:4], "big") & LARGEST_WINDOW, payload[8:])
        if kind in (frames.DATA, frames.HEADERS) and flags & frames.END_STREAM:
            self._end(number)

    def _head(self, number: int, block: bytes) -> None:
        fields = self._blocks.get(block)
        if fields is None:
            decoded = self._decoder.decode(block, raw=True)
            fields = self._blocks[block] = {bytes(name): bytes(value) for name, value in decoded}
        stream = self._streams.get(number)
        if stream is not None:
            stream.fields = stream.fields | fields if stream.fields else fields

    def _end(self, number: int) -> None:
        stream = self._streams.get(number)
        if stream is None:
            return
        status = _NAMES.get(stream.fields.get(b"grpc-status", b""), "UNKNOWN")
        message = stream.received[5:]
        if status != "OK":
            message = unquote_to_bytes(stream.fields.get(b"grpc-message", b""))
        self._answer(number, Reply(status, message))

    def _reset(self, number: int, code: int) -> None:
        if code == frames.REFUSED_STREAM and number in self._streams and not self._broken:
            # The server has done nothing with it, so it is sent again, as gRPC's clients do.
            stream = self._streams.pop(number)
            self._waiting.append((stream.request, stream.done))
            asyncio.get_running_loop().call_later(RETRY_S, self._open_waiting)
        else:
            self._answer(number, Reply("UNAVAILABLE", b"the stream was reset: %d" % code, False))

    def _answer(self, number: int, reply: Reply) -> None:
        stream = self._streams.pop(number, None)
        if stream is not None:
            stream.done(reply)
        if self._waiting:
            self._open_waiting()

    def _open_waiting(self) -> None:
        while self._waiting and len(self._streams) < self._most_streams and not self._broken:
            self._open(*self._waiting.popleft())
        self.flush()

    def _cancel(self, done: Done) -> None:
        """Resets the stream of a call, wherever it is."""
        self._waiting = deque(entry for entry in self._waiting if entry[1] is not done)
        for number, stream in self._streams.items():
            if stream.done is done:
                del self._streams[number]
                self._out.append(frame(frames.RST_STREAM, 0, number, struct.pack(">I", frames.CANCEL)))
                self._open_waiting()
                return

    def _go_away(self, last: int, reason: bytes) -> None:
        """Calls that the server has begun may still be answered."""
        self._broken = self._broken or b"the server goes away: " + reason
        self._refuse_waiting()
        for number in [number for number in self._streams if number > last]:
            self._answer(number, Reply("UNAVAILABLE", self._broken, False))

    def _break(self, reason: str) -> None:
        self._broken = self._broken or reason.encode()
        self._refuse_waiting()
        for number in list(self._streams):
            self._answer(number, Reply("UNAVAILABLE", self._broken, False))

    def _refuse_waiting(self) -> None:
        while self._waiting:
            _, done = self._waiting.popleft()
            done(Reply("UNAVAILABLE", self._broken, False))

    def _settings(self, payload: bytes) -> None:
        for name, value in struct.iter_unpack(">HI", payload):
            if name == frames.INITIAL_WINDOW_SIZE:
                for stream in self._streams.values():
                    stream.window += value - self._stream_window
                self._stream_window = value
            elif name == frames.CONCURRENT_STREAMS:
                self._most_streams = value
            elif name == frames.MAX_FRAME_SIZE:
                self._frame_size = value
        self._out.append(frame(frames.SETTINGS, frames.ACK, 0, b""))
        self._settled.set()
        self._open_waiting()
        self._pump()

    def _widen(self, number: int, increment: int) -> None:
        if number == 0:
            self._window += increment
        elif number in self._streams:
            self._streams[number].window += increment
        self._pump()

    def _pump(self) -> None:
        """Sends what was kept back, as far as it may go now."""
        for _ in range(len(self._blocked)):
            number = self._blocked.popleft()
            stream = self._streams.get(number)
            while stream is not None and len(stream.unsent):
                size = min(len(stream.unsent), self._window, stream.window, self._frame_size)
                if size <= 0:
                    self._blocked.append(number)
                    break
                piece, stream.unsent = stream.unsent[:size], stream.unsent[size:]
                self._window, stream.window = self._window - size, stream.window - size
                flags = 0 if len(stream.unsent) else frames.END_STREAM
                self._out += (frames.head(size, frames.DATA, flags, number), piece)

    def _count(self, size: int) -> None:
        """Gives the connection's window back in large pieces; a stream's is larger than any response."""
        self._consumed += size
        if self._consumed > LARGEST_WINDOW // 4:
            self._out.append(frame(frames.WINDOW_UPDATE, 0, 0, struct.pack(">I", self._consumed)))
            self._consumed = 0


async def connect(address: str, path: str) -> Connection:
    """OSError if nobody listens."""
    host, _, port = address.rpartition(":")
    _, connection = await asyncio.get_running_loop().create_connection(
        lambda: Connection(address, path), host, int(port)
    )
    return connection
