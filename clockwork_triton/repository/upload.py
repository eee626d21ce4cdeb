"""The files that a load request brings, laid out as a model's directory for as long as they are read."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from clockwork_triton.errors import Code, ServerError

_LONGEST = 4000
"""Bytes of a path within the directory; the system takes 4,095 with what comes before."""
_LONGEST_NAME = 255


class Upload:
    """A repository, `root`, that holds only one model, until it is removed.

    `files`: contents by path in the model's directory, as in `1/model.onnx`. ServerError INTERNAL in Triton's
    words where a path leads out of it or the files cannot be written, INVALID_ARG where no file can be called
    so.
    """

    def __init__(self, name: str, files: Mapping[str, bytes]) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="clockwork-upload-")
        self.root = Path(self._directory.name)
        try:
            for path, content in files.items():
                file = self.root / name / _inside(path)
                _check_name(path)
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        except ServerError:
            self.remove()
            raise
        except (OSError, ValueError) as error:
            self.remove()
            raise ServerError(
                Code.INTERNAL, f"failed to load '{name}', failed to poll from model repository"
            ) from error

    def remove(self) -> None:
        self._directory.cleanup()


def _inside(path: str) -> PurePosixPath:
    pure = PurePosixPath(path)
    if not path or pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"'{path}' leads out of the model's directory")
    return pure


def _check_name(path: str) -> None:
    encoded = os.fsencode(path)
    if len(encoded) > _LONGEST or any(len(part) > _LONGEST_NAME for part in encoded.split(b"/")):
        raise ServerError(Code.INVALID_ARG, f"Invalid file path '{path[:_LONGEST_NAME]}'")
