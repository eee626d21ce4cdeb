"""Message compression: gzip, and deflate, which in gRPC means zlib's format."""

from __future__ import annotations

import zlib

from clockwork_triton.frontend.http2.status import RpcError, Status
from clockwork_triton.inference import Buffer

LONG_BYTES = 1 << 10
"""Messages from here on may take a millisecond, and so go to a thread: a kilobyte can become a megabyte."""

_WINDOW_BITS = {b"gzip": 16 + zlib.MAX_WBITS, b"deflate": zlib.MAX_WBITS}


def decompress(encoding: bytes, data: Buffer, limit: int) -> bytes:
    """Raises RpcError: RESOURCE_EXHAUSTED where the message is longer than `limit` bytes, which is found
    out without making more than that of it; INTERNAL where the data is not what `encoding` says."""
    bits = _WINDOW_BITS.get(encoding)
    if bits is None:
        raise RpcError(Status.INTERNAL, "the message is flagged as compressed, but no grpc-encoding is given")
    inflater = zlib.decompressobj(bits)
    try:
        message = inflater.decompress(data, limit + 1)
    except zlib.error as error:
        raise RpcError(Status.INTERNAL, f"the message is not valid {encoding.decode()}: {error}") from error
    if len(message) > limit:
        raise RpcError(
            Status.RESOURCE_EXHAUSTED, f"Received message larger than max (over {limit} vs. {limit})"
        )
    if not inflater.eof or inflater.unused_data:
        raise RpcError(Status.INTERNAL, f"the message is not one whole {encoding.decode()} stream")
    return message


def compress(encoding: bytes, data: Buffer, level: int) -> bytes:
    deflater = zlib.compressobj(level, zlib.DEFLATED, _WINDOW_BITS[encoding])
    return deflater.compress(data) + deflater.flush()


def choose(accepts: frozenset[bytes]) -> bytes | None:
    """The encoding for replies to a client that accepts these."""
    for encoding in (b"gzip", b"deflate"):
        if encoding in accepts:
            return encoding
    return None
