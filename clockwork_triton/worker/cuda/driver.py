"""All that serving asks of a CUDA driver, so that tests can put another one in its place.

Handles are integers that mean something to the driver alone. Addresses and sizes are in bytes. Everything
that takes a stream only enqueues there; the rest is done when the call returns. Any thread may call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Dim3 = tuple[int, int, int]


class CudaError(Exception):
    """A call of the driver failed. `lost`: the device is of no more use to this process. `status`: what the
    call returned, a CUresult; 0 where there was no call."""

    def __init__(self, message: str, *, lost: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.lost = lost
        self.status = status


class NoDriverError(CudaError):
    """This machine has no CUDA driver, as those without a GPU have none."""


@dataclass(frozen=True)
class GpuFacts:
    """What a GPU says of itself. `pci_bus_id` such as 0000:17:00.0, by which NVML knows it too.

    `block_shared_bytes`: the most shared memory that a block may have. `cuda_version`: the newest CUDA that
    the driver knows, such as (13, 0).
    """

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    multiprocessors: int
    pci_bus_id: str
    uuid: str
    block_shared_bytes: int
    cuda_version: tuple[int, int]


@dataclass(frozen=True)
class KernelCall:
    """A launch of a device function on the addresses of its arguments, which are read when it is made."""

    function: int
    grid: Dim3
    block: Dim3
    shared_bytes: int
    arguments: Sequence[int]


class Driver(Protocol):
    """One GPU, in its primary context, from construction to `close`."""

    facts: GpuFacts

    @property
    def lost(self) -> bool:
        """Whether a call has failed in a way after which the device is of no more use to this process."""
        ...

    def available(self) -> int:
        """Bytes of device memory that nobody has."""
        ...

    def allocate(self, size: int) -> int:
        """Device memory. CudaError if there is no room."""
        ...

    def free(self, address: int) -> None: ...

    def pin(self, address: int, size: int) -> None:
        """Fixes host memory in place, so that copies from and to it need no staging."""
        ...

    def unpin(self, address: int) -> None: ...

    def stream(self, priority: int) -> int:
        """A stream that waits for no other. `priority`: 0 is the lowest; more than there are is the
        highest."""
        ...

    def event(self) -> int:
        """An event whose time can be asked for."""
        ...

    def record(self, event: int, stream: int) -> None: ...

    def wait(self, stream: int, event: int) -> None:
        """Holds up what is enqueued from now on until the event, as recorded last, has happened."""
        ...

    def happened(self, event: int) -> bool:
        """Whether all before the event is done; so it is before the event is first recorded. CudaError if it
        failed."""
        ...

    def elapsed_ns(self, begin: int, end: int) -> int:
        """Between two events that were recorded and have happened."""
        ...

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None: ...

    def copy_out(self, host: int, device: int, size: int, stream: int) -> None: ...

    def load_module(self, image: bytes) -> int:
        """Brings device code onto the GPU."""
        ...

    def unload_module(self, module: int) -> None: ...

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        """A function that may be launched with so much dynamic shared memory."""
        ...

    def launch(self, call: KernelCall, stream: int) -> None: ...

    def graph(self, calls: Sequence[KernelCall]) -> int:
        """The calls one after the other, to be launched as one."""
        ...

    def change(self, graph: int, position: int, arguments: list[int]) -> None:
        """Has the graph's next launches make this call with as many other arguments."""
        ...

    def upload(self, graph: int, stream: int) -> None:
        """Brings a graph, new or changed, onto the GPU; otherwise its next launch does that."""
        ...

    def launch_graph(self, graph: int, stream: int) -> None: ...

    def free_graph(self, graph: int) -> None: ...

    def close(self) -> None:
        """Gives everything back; nothing of it may be used afterwards."""
        ...
