"""The header blocks of replies, written against one client's HPACK table (RFC 7541).

Only two fields ever enter that table: the content type, and grpc-status 0. After the first reply of a
connection the blocks of every further one are constants of two bytes and one.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from functools import lru_cache

from clockwork_triton.frontend.http2.frames import DEFAULT_TABLE_SIZE
from clockwork_triton.frontend.http2.head import Field
from clockwork_triton.frontend.http2.status import RpcError, Status, percent_encode

HEADERS_BLOCK = b"\x88\xbf"
"""Of a reply once both fields are in the table: :status 200, content-type application/grpc."""
TRAILERS_BLOCK = 0xBE
"""Likewise: grpc-status 0."""

_STATUS_200 = b"\x88"
_CONTENT_TYPE = b"\x10application/grpc"
_GRPC_STATUS = b"\x0bgrpc-status"
_NEWEST, _SECOND = b"\xbe", b"\xbf"
_TABLE_BYTES = (32 + len("content-type") + len("application/grpc")) + (32 + len("grpc-status") + len("0"))


class ReplyBlocks:
    """`steady`: all blocks are constants by now. Blocks must be sent in the order they are made."""

    def __init__(self) -> None:
        self.steady = False
        self._entries = 0
        self._indexes = True
        self._resize = b""

    def resize(self, table_size: int) -> None:
        """The client's SETTINGS_HEADER_TABLE_SIZE. The next block empties its table and says the new size."""
        size = min(table_size, DEFAULT_TABLE_SIZE)
        self._entries = 0
        self._indexes = size >= _TABLE_BYTES
        self._resize = b"\x20" + (_integer(size, 5, 0x20) if size else b"")
        self.steady = False

    def headers(self, extra: bytes = b"") -> bytes:
        return self._take_resize() + _STATUS_200 + self._content_type() + extra

    def trailers(self, literals: bytes) -> bytes:
        """`literals`: of `status_literals`, or empty for a status of OK and nothing else."""
        return self._take_resize() + (literals or self._ok())

    def trailers_only(self, literals: bytes) -> bytes:
        return self._take_resize() + _STATUS_200 + self._content_type() + literals

    def http_error(self, status: int, literals: bytes) -> bytes:
        """For a client that may not speak gRPC."""
        code = b"\x08\x03%d" % status
        return self._take_resize() + code + b"\x0f\x10" + _CONTENT_TYPE + literals

    def _take_resize(self) -> bytes:
        prefix, self._resize = self._resize, b""
        return prefix

    def _content_type(self) -> bytes:
        if not self._indexes:
            return b"\x0f\x10" + _CONTENT_TYPE
        if self._entries == 0:
            self._entries = 1
            return b"\x5f" + _CONTENT_TYPE
        return _NEWEST if self._entries == 1 else _SECOND

    def _ok(self) -> bytes:
        if not self._indexes or self._entries == 0:
            return OK_LITERALS
        if self._entries == 1:
            self._entries = 2
            self.steady = True
            return b"\x40" + _GRPC_STATUS + b"\x010"
        return _NEWEST


def literals(fields: Iterable[Field]) -> bytes:
    """Fields as they may stand in any block, whatever the table holds."""
    return b"".join(
        b"\x00" + _integer(len(name), 7, 0) + name + _integer(len(value), 7, 0) + value
        for name, value in fields
    )


def metadata_literals(metadata: Iterable[tuple[str, str | bytes]]) -> bytes:
    """Metadata as header fields; bytes, whose names must end in -bin, go as base64."""
    fields = []
    for name, value in metadata:
        assert name == name.lower(), f"{name} is not in lower case"
        assert isinstance(value, bytes) == name.endswith("-bin"), f"{name} has a value of the wrong type"
        text = b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode("ascii", "replace")
        fields.append((name.encode("ascii"), text))
    return literals(fields)


def status_literals(error: RpcError) -> bytes:
    return _status_literals(error.status, error.message, error.details)


# A server that is overloaded says the same again and again.
@lru_cache(maxsize=64)
def _status_literals(status: Status, message: str, details: bytes) -> bytes:
    fields = [(b"grpc-status", b"%d" % status)]
    if message:
        fields.append((b"grpc-message", percent_encode(message)))
    if details:
        fields.append((b"grpc-status-details-bin", b64encode(details).rstrip(b"=")))
    return literals(fields)


def _integer(value: int, bits: int, pattern: int) -> bytes:
    limit = (1 << bits) - 1
    if value < limit:
        return bytes((pattern | value,))
    encoded = bytearray((pattern | limit,))
    value -= limit
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


OK_LITERALS = literals([(b"grpc-status", b"0")])
