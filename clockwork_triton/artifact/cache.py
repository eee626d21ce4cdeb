"""Artifacts on disk, found again by a key and never seen half-written.

An artifact is built in a hidden sibling and renamed into place when it is whole. Builders hold the cache's
lock together while they build, and leftovers are removed only by who holds it alone: a builder that was
killed has let go of it, so what it left is known to be nobody's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from clockwork_triton.artifact.manifest import MODEL_FILENAME, Manifest

_SCRATCH = ".building-"


class ArtifactCache:
    """A directory of artifacts. Any number of processes may share it."""

    def __init__(self, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        self.root = root

    def find(self, key: str) -> Path | None:
        """The whole artifact of that key, if there is one. A damaged one is removed."""
        path = self.root / key
        if not path.is_dir():
            return None
        if not _is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
            return None
        return path

    @contextmanager
    def building(self, key: str) -> Iterator[Path]:
        """An empty directory to build in. At the end of the block it becomes the artifact, unless another
        process was faster: then that one stays. An exception leaves nothing behind."""
        with self._lock(fcntl.LOCK_SH):
            scratch = Path(tempfile.mkdtemp(prefix=f"{_SCRATCH}{key[:16]}-", dir=self.root))
            try:
                yield scratch
                scratch.chmod(0o755)  # mkdtemp's 0700 would hide it from workers of other users
                for file in scratch.iterdir():
                    _sync(file)
                if self.find(key) is None:
                    self._publish(scratch, key)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def _publish(self, scratch: Path, key: str) -> None:
        try:
            scratch.rename(self.root / key)
        except OSError:
            if self.find(key) is None:
                raise
        _sync(self.root)

    def clean(self) -> bool:
        """Removes what killed builders left. False: somebody is building, or the cache cannot be written, so
        nothing was touched."""
        try:
            with self._lock(fcntl.LOCK_EX | fcntl.LOCK_NB):
                for leftover in self.root.glob(f"{_SCRATCH}*"):
                    shutil.rmtree(leftover, ignore_errors=True)
                return True
        except OSError:
            return False

    @contextmanager
    def _lock(self, kind: int) -> Iterator[None]:
        with (self.root / ".lock").open("w") as file:
            fcntl.flock(file, kind)
            yield


def _is_whole(path: Path) -> bool:
    try:
        manifest = Manifest.read(path)
        if not manifest.compiled:
            return (path / MODEL_FILENAME).is_file()
        weights = (path / "weights.bin").stat().st_size
        end = max((segment.file_offset + segment.bytes for segment in manifest.segments), default=0)
        return weights == end and (path / manifest.kernels_file).is_file()
    except (OSError, ValueError):
        return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def default_cache_dir() -> Path:
    """Where artifacts are kept unless told otherwise: `clockwork-triton` in the user's cache directory."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "clockwork-triton"
