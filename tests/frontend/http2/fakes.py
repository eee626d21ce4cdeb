"""A virtual clock, a transport that keeps what is written, and a client's end of a connection."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, NamedTuple

import hpack

from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.connection import Connection
from clockwork_triton.frontend.http2.eager import begin
from clockwork_triton.frontend.http2.limits import Limits, RequestMemory
from clockwork_triton.frontend.http2.service import Service

KINDS = [
    *("DATA", "HEADERS", "PRIORITY", "RST_STREAM", "SETTINGS"),
    *("PUSH_PROMISE", "PING", "GOAWAY", "WINDOW_UPDATE", "CONTINUATION"),
]
REQUEST = [
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Echo/Callback"),
    (":authority", "localhost"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
]


class FakeTimer:
    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class FakeClock:
    """Time passes, and the loop turns, when the test says so."""

    def __init__(self) -> None:
        self.time_ns = 10**12
        self.since_ns: int | None = None
        self._soon: list[Callable[[], None]] = []
        self._timers: list[tuple[int, int, FakeTimer]] = []
        self._order = itertools.count()

    def now_ns(self) -> int:
        return self.time_ns

    def readable_since_ns(self) -> int:
        return self.time_ns if self.since_ns is None else self.since_ns

    def call_soon(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        self._soon.append(callback)

    def call_later(self, delay_ns: int, callback: Callable[[], None]) -> FakeTimer:
        timer = FakeTimer(callback)
        heapq.heappush(self._timers, (self.time_ns + delay_ns, next(self._order), timer))
        return timer

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        return begin(coroutine, asyncio.get_running_loop())

    def offload(self, work: Callable[[], Any]) -> Any:
        """Does it in the next turn."""
        try:
            future: Any = asyncio.get_running_loop().create_future()
        except RuntimeError:
            future = Future()

        def run() -> None:
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

        self.call_soon(run)
        return future

    def turn(self) -> None:
        while self._soon:
            soon, self._soon = self._soon, []
            for callback in soon:
                callback()

    def advance(self, duration_ns: int) -> None:
        end = self.time_ns + duration_ns
        self.turn()
        while self._timers and self._timers[0][0] <= end:
            self.time_ns, _, timer = heapq.heappop(self._timers)
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
            self.turn()
        self.time_ns = end

    @property
    def pending_timers(self) -> int:
        return sum(timer.callback is not None for _, _, timer in self._timers)


class FakeTransport(asyncio.Transport):
    """`capacity`: bytes it takes before it calls `pause_writing`; `drain` makes room again."""

    def __init__(self, capacity: int = 1 << 40) -> None:
        super().__init__({"peername": ("127.0.0.1", 50000)})
        self.connection: Connection | None = None
        self.written = bytearray()
        self.writes = 0
        self.capacity = capacity
        self.held = 0
        self.closed = False
        self.aborted = False
        self.reading_paused = False

    def write(self, data: Any) -> None:
        assert not self.closed, "written after the end"
        # What a batch holds beyond the mark is written all the same.
        assert self.held <= self.capacity + (512 << 10), "written while paused"
        self.written += data
        self.writes += 1
        self.held += len(data)
        if self.held > self.capacity and self.connection is not None:
            self.connection.pause_writing()

    def drain(self) -> None:
        paused = self.held > self.capacity
        self.held = 0
        if paused and self.connection is not None:
            self.connection.resume_writing()

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        self.reading_paused = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True


class Frame(NamedTuple):
    kind: str
    flags: int
    stream_id: int
    payload: bytes


class Answer(NamedTuple):
    """What came back on one stream. `reset`: the code of a RST_STREAM."""

    headers: dict[str, str]
    messages: list[bytes]
    trailers: dict[str, str]
    ended: bool
    reset: int | None

    @property
    def status(self) -> int:
        return int((self.trailers or self.headers)["grpc-status"])


class Client:
    """The client's end: writes frames, and reads what the connection writes.

    It reads as the real connection's buffer would let it: at most `read_size` bytes at a time; fewer at first
    if it is `new`.
    """

    def __init__(
        self,
        service: Service,
        limits: Limits | None = None,
        *,
        clock: FakeClock | None = None,
        memory: RequestMemory | None = None,
        capacity: int = 1 << 40,
        read_size: int = 1 << 16,
        greet: bool = True,
        new: bool = False,
    ) -> None:
        self.clock = clock or FakeClock()
        self.limits = limits or Limits()
        self.lost = 0
        self.memory = memory or RequestMemory(self.limits.request_memory)
        self.connection = Connection(
            service,
            self.limits,
            memory=self.memory,
            clock=self.clock,
            buffer=memoryview(bytearray(read_size)),
            opened=lambda connection: None,
            closed=self._closed,
        )
        self.transport = FakeTransport(capacity)
        self.transport.connection = self.connection
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.frames: list[Frame] = []
        self.blocks: dict[int, list[dict[str, str]]] = {}
        self._read = 0
        self.connection.connection_made(self.transport)
        if not new:
            self.connection._share.size = read_size
        if greet:
            self.send(frames.PREFACE + frames.settings(()) + frames.frame(frames.SETTINGS, frames.ACK, 0))
            self.take()

    def send(self, data: bytes, piece: int | None = None) -> None:
        """Has the connection read `data`, in reads of at most `piece` bytes."""
        at = 0
        while at < len(data):
            if self.transport.aborted or self.transport.reading_paused:
                return
            buffer = self.connection.get_buffer(-1)
            taken = min(len(buffer), len(data) - at, piece or len(data))
            assert taken > 0
            buffer[:taken] = data[at : at + taken]
            self.connection.buffer_updated(taken)
            at += taken
        self.clock.turn()

    def block(self, *changes: tuple[str, str], without: str = "", indexing: bool = True) -> bytes:
        """A request's header block; `changes` replace fields of the usual request or follow them."""
        names = {name for name, _ in changes if name in dict(REQUEST)}
        fields = [(name, value) for name, value in REQUEST if name not in names and name != without]
        pseudo = [field for field in changes if field[0].startswith(":")]
        regular = [field for field in changes if not field[0].startswith(":")]
        head = [field for field in fields if field[0].startswith(":")]
        tail = [field for field in fields if not field[0].startswith(":")]
        ordered = pseudo + head + tail + regular
        if indexing:
            return bytes(self.encoder.encode(ordered))
        return bytes(self.encoder.encode([hpack.NeverIndexedHeaderTuple(*field) for field in ordered]))

    def headers(self, stream_id: int, *changes: tuple[str, str], end: bool = False) -> bytes:
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        return frames.frame(frames.HEADERS, flags, stream_id, self.block(*changes))

    def call(self, stream_id: int, message: bytes, *changes: tuple[str, str]) -> None:
        self.send(self.headers(stream_id, *changes) + data(stream_id, message))

    def take(self) -> list[Frame]:
        """The frames written since the last time."""
        written = self.transport.written
        new = []
        while len(written) - self._read >= 9:
            head, flags, stream_id = frames.FRAME.unpack_from(written, self._read)
            end = self._read + 9 + (head >> 8)
            if end > len(written):
                break
            payload = bytes(written[self._read + 9 : end])
            new.append(Frame(KINDS[head & 0xFF], flags, stream_id, payload))
            if head & 0xFF == frames.HEADERS:
                fields = self.decoder.decode(payload)
                self.blocks.setdefault(stream_id, []).append({str(n): str(v) for n, v in fields})
            self._read = end
        self.frames += new
        return new

    def received(self) -> list[Frame]:
        """All frames so far."""
        self.take()
        return self.frames

    def answer(self, stream_id: int) -> Answer:
        self.take()
        own = [frame for frame in self.frames if frame.stream_id == stream_id]
        blocks = list(self.blocks.get(stream_id, ()))
        body = b"".join(frame.payload for frame in own if frame.kind == "DATA")
        messages = []
        while len(body) >= 5:
            size = int.from_bytes(body[1:5], "big")
            if len(body) < 5 + size:
                break
            messages.append(body[5 : 5 + size])
            body = body[5 + size :]
        resets = [int.from_bytes(frame.payload, "big") for frame in own if frame.kind == "RST_STREAM"]
        return Answer(
            headers=blocks[0] if blocks else {},
            messages=messages,
            trailers=blocks[1] if len(blocks) > 1 else {},
            ended=any(frame.flags & 1 for frame in own if frame.kind in ("DATA", "HEADERS")),
            reset=resets[0] if resets else None,
        )

    def goaway(self) -> tuple[int, int, bytes] | None:
        """Of the last GOAWAY: last stream, code, reason."""
        self.take()
        found = [frame.payload for frame in self.frames if frame.kind == "GOAWAY"]
        if not found:
            return None
        last = found[-1]
        return int.from_bytes(last[:4], "big"), int.from_bytes(last[4:8], "big"), last[8:]

    def kinds(self) -> list[str]:
        return [frame.kind for frame in self.take()]

    def _closed(self, connection: Connection) -> None:
        self.lost += 1


def message(content: bytes, compressed: int = 0) -> bytes:
    return bytes((compressed,)) + len(content).to_bytes(4, "big") + content


def data(stream_id: int, content: bytes, *, end: bool = True, frame_bytes: int = 16384) -> bytes:
    """One message in as many DATA frames as it takes."""
    return raw_data(stream_id, message(content), end=end, frame_bytes=frame_bytes)


def raw_data(stream_id: int, body: bytes, *, end: bool = True, frame_bytes: int = 16384) -> bytes:
    pieces = [body[at : at + frame_bytes] for at in range(0, len(body), frame_bytes)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        frames.frame(frames.DATA, int(end and at == last), stream_id, piece)
        for at, piece in enumerate(pieces)
    )
