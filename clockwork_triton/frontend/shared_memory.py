"""Regions of POSIX shared memory that clients have registered, for tensors that never pass through a message.

Regions are read and written by system calls and not mapped: a client that cuts its memory short would end a
process that maps it. The bytes are copied once either way.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from clockwork_triton.errors import Code, ServerError

DIRECTORY = Path("/dev/shm")
RESERVED_PREFIX = "triton_python_backend_shm_region_"

MOST_REGIONS = 2048
"""Each holds a file descriptor, which connections need too."""


class _File:
    """An open shared memory object, closed once nothing refers to it."""

    def __init__(self, path: Path) -> None:
        """OSError if it cannot be opened for reading and writing, or is no ordinary file."""
        self.fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(self.fd).st_mode):
            raise OSError(f"{path} is no shared memory object")

    @property
    def size(self) -> int:
        return os.fstat(self.fd).st_size

    def __del__(self) -> None:
        if hasattr(self, "fd"):
            os.close(self.fd)


@dataclass(slots=True)
class Region:
    """`users`: tensors of requests under way. `leaving`: to be forgotten when there are none."""

    name: str
    key: str
    offset: int
    byte_size: int
    file: _File
    users: int = 0
    leaving: bool = False


@dataclass(frozen=True, slots=True)
class RegionPart:
    """A piece of a region; a Source for the engine. `begin` counts from the start of the memory object."""

    region: Region
    begin: int
    size: int

    def __len__(self) -> int:
        return self.size

    def part(self, start: int, length: int) -> RegionPart:
        return RegionPart(self.region, self.begin + start, length)

    def read_into(self, target: memoryview) -> None:
        """What the client has cut off since the request came reads as zeros."""
        done = 0
        while done < self.size:
            count = os.preadv(self.region.file.fd, [target[done:]], self.begin + done)
            if count == 0:
                target[done:] = bytes(self.size - done)
                return
            done += count

    def read(self) -> bytes:
        content = bytearray(self.size)
        self.read_into(memoryview(content))
        return bytes(content)

    def write(self, data: bytes) -> None:
        """ServerError INTERNAL if the system has no memory for it."""
        view = memoryview(data)
        done = 0
        try:
            while done < len(view):
                done += os.pwrite(self.region.file.fd, view[done:], self.begin + done)
        except OSError as error:
            raise ServerError(
                Code.INTERNAL,
                f"failed to write to shared memory region '{self.region.name}': {error.strerror}",
            ) from error


@dataclass(slots=True)
class SharedMemory:
    """Every method raises ServerError in Triton's words. `allowed`: whether clients may register regions."""

    allowed: bool = False
    directory: Path = DIRECTORY
    _regions: dict[str, Region] = field(default_factory=dict)

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """`key` names the object as shm_open does, with a leading slash or without."""
        self._check_allowed()
        if key.lstrip("/").startswith(RESERVED_PREFIX):
            _fail(
                f"cannot register shared memory region '{name}' with key '{key}' as the key contains the "
                f"reserved prefix '{RESERVED_PREFIX}'"
            )
        if name in self._regions:
            raise ServerError(Code.ALREADY_EXISTS, f"shared memory region '{name}' already in manager")
        if len(self._regions) >= MOST_REGIONS:
            raise ServerError(
                Code.UNAVAILABLE,
                f"failed to register shared memory region '{name}': {MOST_REGIONS} are registered already",
            )
        file = self._open(name, key)
        if offset < 0 or byte_size <= 0 or offset + byte_size > file.size:
            _fail(f"failed to register shared memory region '{name}': invalid args")
        self._regions[name] = Region(name, key, offset, byte_size, file)

    def unregister(self, name: str) -> None:
        """An unknown name is no error. A region in use goes when the requests that use it have ended."""
        self._check_allowed()
        region = self._regions.get(name)
        if region is not None:
            self._leave(region)

    def unregister_all(self) -> None:
        """Always succeeds: clients begin with it, whatever the server allows."""
        for region in list(self._regions.values()):
            self._leave(region)

    def status(self, name: str = "") -> Sequence[Region]:
        """All regions, or the one asked for."""
        if not name:
            return list(self._regions.values())
        region = self._regions.get(name)
        if region is None:
            raise ServerError(Code.NOT_FOUND, f"Unable to find system shared memory region: '{name}'")
        return [region]

    def refuse_cuda(self, name: str) -> NoReturn:
        """What is answered to a CUDA region: this process holds no GPU, its workers do."""
        self._check_allowed()
        _fail(f"failed to register CUDA shared memory region: '{name}', GPUs not supported")

    def check_no_cuda(self, name: str) -> None:
        """The status of CUDA regions: there are none, so asking for one is an error."""
        if name in self._regions:
            raise ServerError(
                Code.NOT_FOUND,
                f"The region named '{name}' is registered as system shared memory, not CUDA shared memory",
            )
        if name:
            raise ServerError(Code.NOT_FOUND, f"Unable to find cuda shared memory region: '{name}'")

    def take(self, name: str, offset: int, byte_size: int) -> RegionPart:
        """A piece for a tensor; it counts as used until it is given back."""
        region = self._regions.get(name)
        if region is None:
            raise ServerError(Code.NOT_FOUND, f"Unable to find shared memory region: '{name}'")
        if not 0 <= offset < region.byte_size:
            _fail(f"Invalid offset for shared memory region: '{name}'")
        begin = region.offset + offset
        there = min(region.offset + region.byte_size, region.file.size)
        if not 0 <= byte_size <= there - begin:
            _fail(f"Invalid offset + byte size for shared memory region: '{name}'")
        region.users += 1
        return RegionPart(region, begin, byte_size)

    def give_back(self, parts: Iterable[RegionPart]) -> None:
        for part in parts:
            region = part.region
            assert region.users > 0
            region.users -= 1
            if region.leaving:
                self._leave(region)

    def _leave(self, region: Region) -> None:
        region.leaving = region.users > 0
        if not region.leaving:
            self._regions.pop(region.name, None)

    def _open(self, name: str, key: str) -> _File:
        base = key.lstrip("/")
        try:
            if not base or base in (".", "..") or "/" in base or "\0" in base:
                raise OSError(f"'{key}' is no name of shared memory")
            return _File(self.directory / base)
        except OSError as error:
            raise ServerError(
                Code.INVALID_ARG,
                f"failed to register shared memory region '{name}': "
                f"Unable to open shared memory region: '{key}'",
            ) from error

    def _check_allowed(self) -> None:
        if not self.allowed:
            raise ServerError(
                Code.UNSUPPORTED,
                "Client shared memory is disabled. Start the server with '--allow-client-shm=true' "
                "to enable.",
            )


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
