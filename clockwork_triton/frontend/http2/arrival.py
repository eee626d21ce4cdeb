"""Since when the bytes of a read have waited for it."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from collections.abc import Callable

_COUNT = struct.Struct("i")


class Arrival:
    """Of one connection's reads, in order.

    What a full read leaves behind is read in later turns of the loop, but has been there since this one.
    `readable_since_ns()`: see Clock. `left()`: how many bytes lie unread.
    """

    def __init__(self, readable_since_ns: Callable[[], int], left: Callable[[], int]) -> None:
        self._readable_since_ns = readable_since_ns
        self._left = left
        self._old_bytes = 0
        self._old_since_ns = 0
        self._counted_ns = 0

    def of_read(self, size: int, full: bool, now_ns: int) -> int:
        """The earliest moment at which the `size` bytes read can have come; `full`: there may be more."""
        chained = self._old_bytes > 0
        since_ns = self._old_since_ns if chained else min(now_ns, self._readable_since_ns())
        self._old_bytes = max(0, self._old_bytes - size)
        if full and not self._old_bytes:
            # What is there now beyond the bytes counted before came after they were counted.
            self._old_since_ns = self._counted_ns if chained else since_ns
            self._old_bytes = self._left()
            self._counted_ns = now_ns
        return since_ns


def unread_bytes(connection: socket.socket | None) -> int:
    """What the kernel holds of a connection; 0 where it cannot be asked."""
    if connection is None:
        return 0
    try:
        answer = fcntl.ioctl(connection.fileno(), termios.FIONREAD, bytes(_COUNT.size))
    except (OSError, ValueError):  # the latter: it is closed
        return 0
    count: int = _COUNT.unpack(answer)[0]
    return count
