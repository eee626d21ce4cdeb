"""One gRPC message that arrives in pieces (gRPC over HTTP/2, "Length-Prefixed-Message")."""

from __future__ import annotations

from struct import Struct

import numpy as np

from clockwork_triton.frontend.http2.status import RpcError, Status

PREFIX = Struct(">BI")
PREFIX_BYTES = 5


class PartialMessage:
    """Collects a message in one buffer of its size, so that each byte is moved once at most.

    The buffer is untouched memory until bytes arrive: a length that is a lie costs address space only.
    """

    __slots__ = ("_buffer", "_filled", "_limit", "_prefix", "compressed", "size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._prefix = b""
        self._buffer: memoryview | None = None
        self._filled = 0
        self.size = 0
        self.compressed = 0

    @property
    def missing(self) -> int:
        """Bytes of the message that have not arrived: 0 while its length is unknown, too."""
        return self.size - self._filled

    @property
    def complete(self) -> bool:
        return self._buffer is not None and self._filled == self.size

    def feed(self, data: bytes, start: int, stop: int) -> int:
        """Takes what belongs to the message of `data[start:stop]`; returns where the rest begins. Raises
        RpcError for a message that is too long."""
        if self._buffer is None:
            needed = PREFIX_BYTES - len(self._prefix)
            self._prefix += data[start : min(stop, start + needed)]
            start = min(stop, start + needed)
            if len(self._prefix) < PREFIX_BYTES:
                return start
            self.compressed, self.size = PREFIX.unpack(self._prefix)
            check_size(self.size, self._limit)
            try:
                self._buffer = np.empty(self.size, np.uint8).data
            except MemoryError as error:
                text = f"the server has no memory for a message of {self.size} bytes"
                raise RpcError(Status.RESOURCE_EXHAUSTED, text) from error
        taken = min(stop - start, self.size - self._filled)
        self._buffer[self._filled : self._filled + taken] = memoryview(data)[start : start + taken]
        self._filled += taken
        return start + taken

    def room(self, limit: int) -> memoryview | None:
        """Where the next bytes go, at most `limit`: whoever fills it says so with `advance`."""
        if self._buffer is None:
            return None
        return self._buffer[self._filled : min(self.size, self._filled + limit)]

    def advance(self, count: int) -> None:
        self._filled += count
        assert self._filled <= self.size

    def take(self) -> memoryview:
        assert self.complete
        assert self._buffer is not None
        return self._buffer.toreadonly()


def check_size(size: int, limit: int) -> None:
    if size > limit:
        raise RpcError(Status.RESOURCE_EXHAUSTED, f"Received message larger than max ({size} vs. {limit})")
