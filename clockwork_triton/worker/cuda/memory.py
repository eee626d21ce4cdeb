"""Host memory that the GPU copies from and to, fixed in place."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from pathlib import Path

import numpy as np

from clockwork_triton.artifact.anonymous import AnonymousMemory, Bytes
from clockwork_triton.worker.cuda.driver import CudaError, Driver

# So much is read and pinned at once, a millisecond, and copied at once, 80 us at 50 GB/s: a few of these
# under way keep a link busy, and the inputs of an INFER wait for no more.
PIECE_BYTES = 4 << 20


class PinnedWeights:
    """The first `size` bytes of a weights.bin, pinned piece by piece; a copy stays within one piece."""

    def __init__(self, driver: Driver, path: Path, size: int) -> None:
        self._driver = driver
        self._path = path
        self._memory = AnonymousMemory(size)
        self._pinned: list[int] = []
        self.size = size

    def read(self) -> Iterator[None]:
        """Reads and pins, in pieces. ValueError if the file is short, OSError, CudaError."""
        with FileIO(self._path) as file:
            for begin in range(0, self.size, PIECE_BYTES):
                count = min(PIECE_BYTES, self.size - begin)
                if _fill(file, self._memory.bytes.data[begin : begin + count]) < count:
                    raise ValueError("weights.bin is shorter than the manifest says")
                self._driver.pin(self._memory.address + begin, count)
                self._pinned.append(self._memory.address + begin)
                yield

    def chunks(self, begin: int, size: int) -> Iterator[tuple[int, int, int]]:
        """The address, the distance from `begin` and the size of pieces of these bytes."""
        assert 0 <= begin <= begin + size <= self.size
        position = begin
        while position < begin + size:
            end = min(begin + size, (position // PIECE_BYTES + 1) * PIECE_BYTES)
            yield self._memory.address + position, position - begin, end - position
            position = end

    def unpin(self) -> Iterator[None]:
        """In pieces, of which one that fails keeps no other; the memory goes with its last view."""
        while self._pinned:
            with suppress(CudaError):
                self._driver.unpin(self._pinned.pop())
            yield


def _fill(file: FileIO, view: memoryview) -> int:
    """Reads until the view is full or the file ends; how much there was."""
    done = 0
    while done < len(view) and (count := file.readinto(view[done:])):
        done += count
    return done


def shared_bytes(descriptor: int, size: int) -> Bytes:
    """The bytes of a file that is shared memory."""
    return np.frombuffer(mmap.mmap(descriptor, size), np.uint8)
