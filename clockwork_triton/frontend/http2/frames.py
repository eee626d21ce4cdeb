"""The frames of HTTP/2 as bytes (RFC 9113, 4 and 6)."""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct

from clockwork_triton.frontend.http2.errors import ErrorCode

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA = 0x0
HEADERS = 0x1
PRIORITY = 0x2
RST_STREAM = 0x3
SETTINGS = 0x4
PUSH_PROMISE = 0x5
PING = 0x6
GOAWAY = 0x7
WINDOW_UPDATE = 0x8
CONTINUATION = 0x9

END_STREAM = 0x1
ACK = 0x1
END_HEADERS = 0x4
PADDED = 0x8
PRIORITISED = 0x20

HEADER_TABLE_SIZE = 0x1
ENABLE_PUSH = 0x2
MAX_CONCURRENT_STREAMS = 0x3
INITIAL_WINDOW_SIZE = 0x4
MAX_FRAME_SIZE = 0x5
MAX_HEADER_LIST_SIZE = 0x6

MAX_WINDOW = 2**31 - 1
MAX_STREAM_ID = 2**31 - 1
DEFAULT_WINDOW = 65_535
DEFAULT_FRAME_SIZE = 16_384
LARGEST_FRAME_SIZE = 2**24 - 1
DEFAULT_TABLE_SIZE = 4_096

HEADER_BYTES = 9
FRAME = Struct(">IBI")
"""A frame's header: its payload's length and its type as `length << 8 | type`, flags, stream."""
SETTING = Struct(">HI")
UINT32 = Struct(">I")


def frame(kind: int, flags: int, stream_id: int, payload: bytes = b"") -> bytes:
    return FRAME.pack(len(payload) << 8 | kind, flags, stream_id) + payload


def settings(values: Iterable[tuple[int, int]]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(SETTING.pack(name, value) for name, value in values))


def rst_stream(stream_id: int, code: ErrorCode) -> bytes:
    return frame(RST_STREAM, 0, stream_id, UINT32.pack(code))


def window_update(stream_id: int, increment: int) -> bytes:
    assert 0 < increment <= MAX_WINDOW
    return frame(WINDOW_UPDATE, 0, stream_id, UINT32.pack(increment))


def ping(payload: bytes, ack: bool = False) -> bytes:
    assert len(payload) == 8
    return frame(PING, ACK if ack else 0, 0, payload)


def goaway(last_stream_id: int, code: ErrorCode, reason: str = "") -> bytes:
    return frame(GOAWAY, 0, 0, UINT32.pack(last_stream_id) + UINT32.pack(code) + reason.encode())


def headers(stream_id: int, block: bytes, frame_size: int, end_stream: bool) -> bytes:
    """A header block in HEADERS and as many CONTINUATION frames as a peer's `frame_size` asks for."""
    flags = END_STREAM if end_stream else 0
    if len(block) <= frame_size:
        return frame(HEADERS, flags | END_HEADERS, stream_id, block)
    pieces = [block[at : at + frame_size] for at in range(0, len(block), frame_size)]
    return (
        frame(HEADERS, flags, stream_id, pieces[0])
        + b"".join(frame(CONTINUATION, 0, stream_id, piece) for piece in pieces[1:-1])
        + frame(CONTINUATION, END_HEADERS, stream_id, pieces[-1])
    )
