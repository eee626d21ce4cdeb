"""The weights of an artifact: each distinct tensor once, packed into pages."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from clockwork_triton.artifact.manifest import Segment
from converters.placement import align

FILE_ALIGNMENT = 4096


class WeightSpool:
    """Collects tensors in an unnamed file, so that the memory of one can be freed before the next exists.

    A tensor is known by the SHA-256 of its bytes: dtype and shape belong to whoever reads it, so the same
    bytes under two shapes are stored once. A context manager: its end closes and removes the file.
    """

    def __init__(self, directory: Path) -> None:
        self._file = tempfile.TemporaryFile(dir=directory)  # noqa: SIM115 - closed by __exit__
        self._offsets: dict[str, int] = {}
        self.sizes: dict[str, int] = {}

    def __enter__(self) -> WeightSpool:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def add(self, data: memoryview) -> str:
        """Stores the bytes unless they are known; their digest."""
        digest = hashlib.sha256(data).hexdigest()
        if digest not in self.sizes:
            self._offsets[digest] = self._file.tell()
            self.sizes[digest] = data.nbytes
            self._file.write(data)
        return digest

    def write(self, path: Path, page_bytes: int) -> tuple[tuple[Segment, ...], dict[str, tuple[int, int]]]:
        """Writes weights.bin; the segments, and each digest's segment and offset in it."""
        segments, places = pack(self.sizes, page_bytes)
        with path.open("wb") as out:
            for digest, (index, offset) in places.items():
                self._file.seek(self._offsets[digest])
                out.seek(segments[index].file_offset + offset)
                _copy(self._file, out, self.sizes[digest])
            out.truncate(max((segment.file_offset + segment.bytes for segment in segments), default=0))
        return segments, places


def pack(sizes: Mapping[str, int], page_bytes: int) -> tuple[tuple[Segment, ...], dict[str, tuple[int, int]]]:
    """Puts tensors into segments: first-fit decreasing into single pages, each tensor aligned to 64 bytes.

    A tensor larger than a page gets a segment of several pages for itself, whose last page takes further
    tensors as any page does. Deterministic.
    """
    used: list[int] = []
    capacity: list[int] = []
    places: dict[str, tuple[int, int]] = {}
    open_from = 0
    for digest in sorted(sizes, key=lambda d: (-sizes[d], d)):
        size = max(align(sizes[digest]), align(1))
        index = next((i for i in range(open_from, len(used)) if capacity[i] - used[i] >= size), None)
        if index is None:
            index = len(used)
            used.append(0)
            capacity.append(-(-size // page_bytes) * page_bytes)
        places[digest] = (index, used[index])
        used[index] += size
    return _segments(used, capacity, page_bytes), places


def _segments(used: Sequence[int], capacity: Sequence[int], page_bytes: int) -> tuple[Segment, ...]:
    segments = []
    offset = 0
    for size, room in zip(used, capacity, strict=True):
        segments.append(Segment(offset, size, room // page_bytes))
        offset += -(-size // FILE_ALIGNMENT) * FILE_ALIGNMENT
    return tuple(segments)


def _copy(source: BinaryIO, target: BinaryIO, size: int) -> None:
    """`size` bytes from one binary file to another, a few megabytes at a time."""
    while size:
        chunk = source.read(min(size, 1 << 22))
        assert chunk
        target.write(chunk)
        size -= len(chunk)
