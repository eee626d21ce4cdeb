"""Tab-separated logs with a header, written through a buffer."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

log = logging.getLogger(__name__)


class TsvWriter:
    """One row a call. OSError if the file cannot be made.

    A disk that fills up later costs the log, not the server: it is said once, and rows are dropped.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self._path = path
        self._file: TextIO | None = path.open("w", buffering=1 << 16)
        self._width = len(columns)
        self.write(columns)

    def write(self, row: Sequence[object]) -> None:
        assert len(row) == self._width
        if self._file is not None:
            self._attempt(self._file, "\t".join(map(str, row)) + "\n")

    def flush(self) -> None:
        if self._file is not None:
            self._attempt(self._file, None)

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _attempt(self, file: TextIO, text: str | None) -> None:
        try:
            if text is None:
                file.flush()
            else:
                file.write(text)
        except OSError as error:
            log.error("%s is written no further: %s", self._path, error)
            self._file = None
            # Closing tries to write what is left, and fails like the write before it.
            try:
                file.close()
            except OSError:
                log.debug("%s was not closed cleanly", self._path)
