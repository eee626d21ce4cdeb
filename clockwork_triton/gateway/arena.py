"""The memory of one front end in which the tensors of its calls lie, where workers find them."""

from __future__ import annotations

import mmap
import os

ARENA_BYTES = 4 << 30
"""Of address space: a page is taken from the system when it is first used."""
_SMALLEST = 10


def make_arena(number: int) -> int:
    """The file of an arena, which processes that are started with it map."""
    fd = os.memfd_create(f"clockwork-arena-{number}", os.MFD_CLOEXEC)
    os.ftruncate(fd, ARENA_BYTES)
    return fd


class Arena:
    """Blocks of a power of two of bytes. A block that is given back is the next to be taken, so that little
    memory is touched in all."""

    def __init__(self, fd: int) -> None:
        self._size = os.fstat(fd).st_size
        self.view = memoryview(mmap.mmap(fd, self._size))
        self._top = 0
        self._free: dict[int, list[int]] = {}

    def take(self, size: int) -> int | None:
        """The place of a block of at least `size` bytes; None if there is no more room."""
        kind = max(_SMALLEST, (size - 1).bit_length())
        free = self._free.get(kind)
        if free:
            return free.pop()
        if self._top + (1 << kind) > self._size:
            return None
        place = self._top
        self._top += 1 << kind
        return place

    def give_back(self, place: int, size: int) -> None:
        """`size`: as it was asked for."""
        self._free.setdefault(max(_SMALLEST, (size - 1).bit_length()), []).append(place)
