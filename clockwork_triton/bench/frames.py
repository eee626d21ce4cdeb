"""The frames of HTTP/2 that a client of unary calls needs (RFC 9113)."""

from __future__ import annotations

import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = 1, 2, 3, 4, 5
REFUSED_STREAM, CANCEL = 7, 8
HEAD = struct.Struct(">IBI")
"""Of the first field, the low eight bits are the type and the others the length."""


def head(size: int, kind: int, flags: int, number: int) -> bytes:
    return HEAD.pack(size << 8 | kind, flags, number)


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return HEAD.pack(len(payload) << 8 | kind, flags, number) + payload


def unpadded(payload: bytes, flags: int) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED else payload
