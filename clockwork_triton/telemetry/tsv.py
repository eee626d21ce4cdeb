"""Tab-separated logs with a header, written through a buffer."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TextIO


class TsvWriter:
    """One row a call. OSError if the file cannot be made."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._file: TextIO = path.open("w", buffering=1 << 16)
        self._width = len(columns)
        self._file.write("\t".join(columns) + "\n")

    def write(self, row: Sequence[object]) -> None:
        assert len(row) == self._width
        self._file.write("\t".join(map(str, row)) + "\n")

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()
