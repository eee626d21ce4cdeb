"""gzip and deflate, both ways."""

from __future__ import annotations

import asyncio
import zlib

from clockwork_triton.errors import Code, ServerError

ENCODINGS = ("gzip", "deflate")

_AUTOMATIC = 32 + zlib.MAX_WBITS  # recognises gzip and zlib by their headers
_WBITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_LEVEL = 6
_IN_THREAD_BYTES = 1 << 15
"""From here on (de)compression leaves the event loop to others."""


class TooLarge(Exception):
    """What comes out is longer than allowed."""


async def decompress(data: bytes, limit: int) -> bytes:
    """ServerError INVALID_ARG if it is not one whole gzip or zlib stream; TooLarge beyond `limit` bytes."""
    if len(data) < _IN_THREAD_BYTES // 32:
        return _decompress(data, limit)
    return await asyncio.to_thread(_decompress, data, limit)


async def compress(parts: list[bytes], encoding: str) -> bytes:
    if sum(map(len, parts)) < _IN_THREAD_BYTES:
        return _compress(parts, encoding)
    return await asyncio.to_thread(_compress, parts, encoding)


def accepted_encoding(header: str) -> str:
    """What an Accept-Encoding header prefers of gzip, deflate and identity, as Triton reads it: the greatest
    weight, the first of those alike."""
    chosen, greatest = "identity", 0.0
    for item in header.split(","):
        name, _, weight = item.strip().partition(";q=")
        try:
            value = float(weight) if weight else 1.0
        except ValueError:
            continue
        if name in (*ENCODINGS, "identity") and value > greatest:
            chosen, greatest = name, value
    return chosen


def _decompress(data: bytes, limit: int) -> bytes:
    stream = zlib.decompressobj(_AUTOMATIC)
    try:
        content = stream.decompress(data, limit + 1)
    except zlib.error as error:
        raise ServerError(Code.INVALID_ARG, f"the request body cannot be decompressed: {error}") from error
    if len(content) > limit:
        raise TooLarge
    if not stream.eof or stream.unused_data:
        raise ServerError(Code.INVALID_ARG, "the request body is not one whole compressed stream")
    return content


def _compress(parts: list[bytes], encoding: str) -> bytes:
    stream = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WBITS[encoding])
    return b"".join([*(stream.compress(part) for part in parts), stream.flush()])
