"""Bytes on their way into the transport."""

from __future__ import annotations

import os
from asyncio import WriteTransport
from collections.abc import Callable, Sequence
from itertools import islice

from clockwork_triton.inference import Buffer

LARGE_BYTES = 8 << 10
"""A piece from here on is cheaper to write from where it lies than to copy."""
_MOST_PIECES = 1024
"""That one system call writes: IOV_MAX."""


class Output:
    """`pieces` are what the next `write` writes; whoever adds a large one says so by `has_large`, and whoever
    adds memory that is only lent by `has_lent`: transports may keep what they are given, so that is copied.

    Large pieces go past the transport, straight from where they lie into the socket, as far as it takes them.

    While the client takes nothing (`paused`), at most `limit` bytes wait, then `overflowed()` is called.
    """

    def __init__(self, limit: int, overflowed: Callable[[], None]) -> None:
        self.pieces: list[Buffer] = []
        self.has_large = False
        self.has_lent = False
        self.paused = False
        self._transport: WriteTransport | None = None
        self._fd = -1
        self._limit = limit
        self._overflowed = overflowed
        self._releases: list[Callable[[], None]] = []
        self._waiting: list[bytes] = []
        self._left = limit

    @property
    def takes_bytes(self) -> bool:
        return self._transport is not None and not self.paused

    def attach(self, transport: WriteTransport) -> None:
        self._transport = transport
        connection = transport.get_extra_info("socket")
        if connection is not None and transport.get_extra_info("sslcontext") is None:
            self._fd = connection.fileno()

    def detach(self) -> None:
        self._transport = None
        self._fd = -1
        self._waiting.clear()
        self.write()

    def release_later(self, releases: list[Callable[[], None]]) -> None:
        """To be called once the memory lent by now is copied."""
        self._releases += releases

    def resume(self) -> None:
        self.paused = False
        self.pieces[:0] = self._waiting
        self._waiting.clear()
        self._left = self._limit

    def write(self) -> None:
        if not self.pieces:
            return
        if self.paused:
            self._keep()
        elif self._transport is not None:
            pieces = self._write_through(self._transport) if self.has_large else self.pieces
            if self.has_large and not self.has_lent:
                _write_apart(self._transport, pieces)
            elif pieces:
                self._transport.write(b"".join(pieces))
        self.pieces.clear()
        self.has_large = self.has_lent = False
        releases, self._releases = self._releases, []
        for release in releases:
            release()

    def _keep(self) -> None:
        data = b"".join(self.pieces)
        self._waiting.append(data)
        self._left -= len(data)
        if self._left < 0:
            self._overflowed()

    def _write_through(self, transport: WriteTransport) -> list[Buffer]:
        """Writes what the socket takes, if nothing waits in the transport. Returns what is left."""
        pieces = self.pieces
        if self._fd < 0 or transport.is_closing() or transport.get_write_buffer_size():
            return pieces
        done = 0
        while done < len(pieces):
            batch = list(islice(pieces, done, done + _MOST_PIECES))
            try:
                written = os.writev(self._fd, batch)
            except OSError:
                # It is full, or broken: the transport finds out which.
                break
            for piece in batch:
                if written < len(piece):
                    return [memoryview(piece)[written:], *pieces[done + 1 :]]
                written -= len(piece)
                done += 1
        return pieces[done:]


def _write_apart(transport: WriteTransport, pieces: Sequence[Buffer]) -> None:
    """Writes large pieces as they are, and what is between them joined."""
    small: list[Buffer] = []
    for piece in pieces:
        if len(piece) < LARGE_BYTES:
            small.append(piece)
            continue
        if small:
            transport.write(b"".join(small))
            small.clear()
        transport.write(piece)
    if small:
        transport.write(b"".join(small))
