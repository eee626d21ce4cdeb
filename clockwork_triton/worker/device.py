"""What a worker asks of the device it owns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from clockwork_triton.artifact import Manifest
from clockwork_triton.transport.messages import Stages


class UnsuitableModel(Exception):
    """The device cannot run the artifact; the text says why."""


@dataclass(frozen=True)
class DeviceOptions:
    """The memory a device works with. `io_fd` is a file of `slots` times `slot_bytes` bytes, `arena_fds` are
    those of front ends' tensors.

    `memory_bytes` 0, for a GPU: all that is left.
    """

    memory_bytes: int
    workspace_bytes: int
    page_bytes: int
    slots: int
    slot_bytes: int
    io_fd: int
    arena_fds: tuple[int, ...] = ()
    threads: int = 1
    """That share a kernel, on a CPU."""


@dataclass(frozen=True)
class Registered:
    """What the worker has to know of a model to check the actions on it."""

    segments: tuple[int, ...]
    """The pages of each."""
    batch_sizes: frozenset[int]
    manifest: Manifest


class Outputs(Protocol):
    """An INFER whose execution has ended, and whose outputs are on their way to the slot."""

    def wait(self) -> Stages:
        """Until they are there, from any thread; raises as `infer` does."""
        ...


class Device(Protocol):
    """One device. Everything that serving needs is allocated by its constructor and by `register`.

    The worker checks actions before the device sees them, and calls `load` and `infer` from one thread each,
    which is the same thread where the device does not overlap. Whatever these two raise is a failure of the
    device: the action fails with its text.
    """

    kind: str
    """What profiles are kept by: safe in a file name."""
    overlaps: bool
    """Whether a LOAD runs beside an INFER without slowing it."""
    pages: int
    page_bytes: int
    workspace_bytes: int

    @property
    def lost(self) -> bool:
        """Whether it is of no more use to this process, whatever it is asked."""
        ...

    @property
    def clock_mhz(self) -> int:
        """In MHz, the clock that running times depend on, if somebody has looked since this was last asked;
        else 0."""
        ...

    def register(self, model_id: int, artifact: Path) -> Iterator[None]:
        """Prepares a model, in pieces of a few milliseconds; between them, actions may run.

        `registered` has the model after the last piece. UnsuitableModel, or what reading the artifact
        raises, if it cannot be run here.
        """
        ...

    def registered(self, model_id: int) -> Registered | None:
        """None: no such model, or not ready yet."""
        ...

    def unregister(self, model_id: int) -> Iterator[None]:
        """Forgets the model, which is not loaded, in pieces as `register`; an unknown one is no error."""
        ...

    def load(self, model_id: int, first_pages: Sequence[int]) -> Stages:
        """Copies the weights to the device, each segment to the pages from the first one on."""
        ...

    def expect(self, model_id: int, batch_size: int, slot: int) -> None:
        """Says that an INFER will follow, whose inputs are in the slot: they can be brought to the device.

        Called by the thread that receives; never raises, and nothing depends on it.
        """
        ...

    def infer(self, model_id: int, batch_size: int, slot: int) -> Stages | Outputs:
        """Runs a loaded model on the tensors in the I/O slot. Outputs, where they have to be copied there."""
        ...

    def close(self) -> None:
        """Gives the memory back."""
        ...
