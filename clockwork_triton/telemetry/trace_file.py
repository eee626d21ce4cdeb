"""Where traces go: one JSON array that grows until it is closed, or a numbered file for each batch."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TextIO

log = logging.getLogger(__name__)


class TraceFile:
    """A file that cannot be written is reported in the log; no request fails for its trace."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._file: TextIO | None = None
        self._next = 0

    def append(self, trace: str) -> None:
        """Adds to the array in the file itself, which begins anew with the first trace."""
        try:
            if self._file is None:
                self._file = open(self.path, "w", encoding="utf-8")  # noqa: SIM115
                self._file.write("[")
            else:
                self._file.write(",")
            self._file.write(trace)
            self._file.flush()
        except OSError as error:
            log.error("cannot write traces to %s: %s", self.path, error.strerror)

    def write_numbered(self, traces: Sequence[str]) -> None:
        """Writes an array of its own to the next of `path`.0, `path`.1, ..."""
        path = f"{self.path}.{self._next}"
        self._next += 1
        try:
            with open(path, "w", encoding="utf-8") as file:
                file.write(f"[{','.join(traces)}]")
        except OSError as error:
            log.error("cannot write traces to %s: %s", path, error.strerror)

    def close(self) -> None:
        if self._file is not None:
            try:
                self._file.write("]")
                self._file.close()
            except OSError as error:
                log.error("cannot write traces to %s: %s", self.path, error.strerror)
            self._file = None
