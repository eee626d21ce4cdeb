"""A CUDA driver without a GPU: host memory for device memory, and a timeline on a virtual clock.

What is enqueued takes its time on the engine that does such things, and happens no sooner than streams and
events allow; its effect on memory comes when it ends. So what is not ordered by an event shows: in the times,
and in what is read too early, for fresh device memory holds no numbers.
"""

from __future__ import annotations

import ctypes
import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from clockwork_triton.worker.cuda.driver import CudaError, GpuFacts, KernelCall

GIB = 1 << 30
POISON = 0xFF
NS_PER_BYTE = 0.05
LAUNCH_NS = 10_000
LOOK_NS = 1_000
"""What asking whether an event has happened takes."""

Kernel = Callable[[tuple[int, ...]], None]


@dataclass
class Clock:
    """Of the device's worker: moves when somebody waits."""

    now_ns: int = 1_000_000
    naps: list[float] = field(default_factory=list)

    def __call__(self) -> int:
        return self.now_ns

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now_ns += round(seconds * 1e9)


@dataclass(frozen=True)
class Done:
    """Something that was enqueued, and when it ran."""

    what: str
    stream: int
    begin_ns: int
    end_ns: int
    size: int = 0
    call: KernelCall | None = None


class FakeDriver:
    """See Driver. `kernels`: by function name, from the arguments' addresses to what becomes of memory."""

    def __init__(
        self,
        clock: Clock,
        kernels: dict[str, Kernel] | None = None,
        *,
        capability: tuple[int, int] = (9, 0),
        memory_bytes: int = 4 * GIB,
    ) -> None:
        bus, uuid = "0000:17:00.0", "GPU-00000000-fake"
        self.facts = GpuFacts("NVIDIA Fake 100", capability, memory_bytes, 4, bus, uuid, 227 << 10, (13, 0))
        self.clock = clock
        self.kernels = kernels or {}
        self.done: list[Done] = []
        self.launch_ns = LAUNCH_NS
        self.ns_per_byte = NS_PER_BYTE
        self.allocated: dict[int, np.ndarray[tuple[int], np.dtype[np.uint8]]] = {}
        self.pinned: dict[int, int] = {}
        self.modules: set[int] = set()
        self.graphs: dict[int, list[KernelCall]] = {}
        self.changes: list[tuple[int, int]] = []
        self.priorities: dict[int, int] = {}
        self.closed = False
        self.lost = False
        self._failures: dict[str, CudaError] = {}
        self._handles = 0
        self._names: dict[int, str] = {}
        self._tails: dict[int, int] = {}
        self._engines: dict[str, int] = {}
        self._events: dict[int, int] = {}
        self.uploads: list[tuple[int, int]] = []
        self._effects: list[tuple[int, int, Callable[[], None]]] = []

    def fail(self, name: str, *, lost: bool = False) -> None:
        """The next call of this method fails."""
        self._failures[name] = CudaError(f"{name} fails", lost=lost)

    def _enter(self, name: str) -> None:
        assert not self.closed
        error = self._failures.pop(name, None)
        if error is not None:
            self.lost |= error.lost
            raise error

    def _handle(self) -> int:
        self._handles += 1
        return self._handles

    def _memory(self, address: int, size: int) -> None:
        """Whoever leaves what was allocated has lost his way."""
        for begin, memory in self.allocated.items():
            if begin <= address and address + size <= begin + len(memory):
                return
        raise AssertionError(f"{size} bytes at {address} are not on the device")

    def _host(self, address: int, size: int) -> None:
        for begin, length in self.pinned.items():
            if begin <= address and address + size <= begin + length:
                return
        raise AssertionError(f"{size} bytes at {address} are not pinned as one piece")

    def _enqueue(
        self, what: str, stream: int, engine: str, duration_ns: int, effect: Callable[[], None]
    ) -> Done:
        begin_ns = max(self.clock.now_ns, self._tails[stream], self._engines.get(engine, 0))
        done = Done(what, stream, begin_ns, begin_ns + duration_ns)
        self._tails[stream] = self._engines[engine] = done.end_ns
        heapq.heappush(self._effects, (done.end_ns, self._handle(), effect))
        return done

    def settle(self) -> None:
        """Has happen what is due by now."""
        while self._effects and self._effects[0][0] <= self.clock.now_ns:
            heapq.heappop(self._effects)[2]()

    def available(self) -> int:
        return self.facts.memory_bytes - sum(map(len, self.allocated.values()))

    def allocate(self, size: int) -> int:
        self._enter("allocate")
        memory = np.full(size, POISON, np.uint8)
        self.allocated[memory.ctypes.data] = memory
        return memory.ctypes.data

    def free(self, address: int) -> None:
        self._enter("free")
        del self.allocated[address]

    def pin(self, address: int, size: int) -> None:
        self._enter("pin")
        self.pinned[address] = size

    def unpin(self, address: int) -> None:
        self._enter("unpin")
        del self.pinned[address]

    def stream(self, priority: int) -> int:
        stream = self._handle()
        self._tails[stream] = 0
        self.priorities[stream] = priority
        return stream

    def event(self) -> int:
        return self._handle()

    def record(self, event: int, stream: int) -> None:
        self._enter("record")
        self._events[event] = max(self.clock.now_ns, self._tails[stream])

    def wait(self, stream: int, event: int) -> None:
        self._enter("wait")
        self._tails[stream] = max(self._tails[stream], self._events[event])

    def happened(self, event: int) -> bool:
        self._enter("happened")
        self.clock.now_ns += LOOK_NS
        self.settle()
        return self._events.get(event, 0) <= self.clock.now_ns

    def elapsed_ns(self, begin: int, end: int) -> int:
        assert self._events[end] <= self.clock.now_ns
        return self._events[end] - self._events[begin]

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None:
        self._enter("copy_in")
        self._memory(device, size)
        self._host(host, size)
        done = self._enqueue(
            "in", stream, "in", round(size * self.ns_per_byte), lambda: _copy(device, host, size)
        )
        self.done.append(Done("in", stream, done.begin_ns, done.end_ns, size))

    def copy_out(self, host: int, device: int, size: int, stream: int) -> None:
        self._enter("copy_out")
        self._memory(device, size)
        self._host(host, size)
        done = self._enqueue(
            "out", stream, "out", round(size * self.ns_per_byte), lambda: _copy(host, device, size)
        )
        self.done.append(Done("out", stream, done.begin_ns, done.end_ns, size))

    def load_module(self, image: bytes) -> int:
        self._enter("load_module")
        module = self._handle()
        self.modules.add(module)
        return module

    def unload_module(self, module: int) -> None:
        self._enter("unload_module")
        self.modules.remove(module)

    def function(self, module: int, name: str, shared_bytes: int) -> int:
        self._enter("function")
        assert module in self.modules
        function = self._handle()
        self._names[function] = name
        return function

    def launch(self, call: KernelCall, stream: int) -> None:
        self._enter("launch")
        name = self._names[call.function]
        kernel = self.kernels.get(name, lambda addresses: None)
        arguments = tuple(call.arguments)
        done = self._enqueue(name, stream, "kernels", self.launch_ns, lambda: kernel(arguments))
        self.done.append(Done(name, stream, done.begin_ns, done.end_ns, call=call))

    def graph(self, calls: Sequence[KernelCall]) -> int:
        self._enter("graph")
        graph = self._handle()
        self.graphs[graph] = [replace(call, arguments=tuple(call.arguments)) for call in calls]
        return graph

    def change(self, graph: int, position: int, arguments: list[int]) -> None:
        self._enter("change")
        call = self.graphs[graph][position]
        assert len(arguments) == len(call.arguments)
        self.changes.append((graph, position))
        self.graphs[graph][position] = replace(call, arguments=tuple(arguments))

    def upload(self, graph: int, stream: int) -> None:
        self._enter("upload")
        assert graph in self.graphs
        self.uploads.append((graph, stream))

    def launch_graph(self, graph: int, stream: int) -> None:
        self._enter("launch_graph")
        for call in self.graphs[graph]:
            self.launch(call, stream)

    def free_graph(self, graph: int) -> None:
        self._enter("free_graph")
        del self.graphs[graph]

    def close(self) -> None:
        self.closed = True


def _copy(to: int, source: int, size: int) -> None:
    ctypes.memmove(to, source, size)
