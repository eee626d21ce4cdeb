"""Host memory to run programs in."""

from __future__ import annotations

import contextlib
import errno
import mmap
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]

_MADV_POPULATE_WRITE = 23
_PIECE_BYTES = 8 << 20


class AnonymousMemory:
    """A run of bytes at a fixed address, zero at first, in huge pages where the system has them.

    The system provides a page when it is first touched, or when `provide` asks for it.
    """

    def __init__(self, size: int) -> None:
        """OSError if there is no room for it in the address space."""
        self._map = mmap.mmap(-1, max(size, mmap.PAGESIZE), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        with contextlib.suppress(OSError):
            self._map.madvise(mmap.MADV_HUGEPAGE)
        self.bytes: Bytes = np.frombuffer(self._map, np.uint8)
        self.address = self.bytes.ctypes.data
        self._provided = 0

    def provide(self, size: int) -> Iterator[None]:
        """Has the system provide the first `size` bytes, in pieces of a millisecond or two.

        What they hold is not changed, so they may be in use. OSError where the system has no more. Before
        Linux 5.14 nothing happens.
        """
        while self._provided < size:
            piece = min(_PIECE_BYTES, len(self._map) - self._provided)
            try:
                self._map.madvise(_MADV_POPULATE_WRITE, self._provided, piece)
            except OSError as error:
                if error.errno != errno.EINVAL:
                    raise
                return
            self._provided += piece
            yield
