"""A variant bound to device memory: kernel calls, whose addresses follow what moves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from clockwork_triton.artifact import TensorRef, Variant
from clockwork_triton.artifact.manifest import Launch, Slot
from clockwork_triton.worker.cuda.driver import Driver, KernelCall

# Fewer launches than this are made one by one: a graph would not make them cheaper.
FEWEST = 3
# Of launches made one by one, so many are between two events, and at most two events are waited for: what is
# queued on the GPU stays bounded.
WINDOW = 16
IN_FLIGHT = 2


@dataclass
class Places:
    """Where the parts of device memory that a program works in begin. `io`: of the slot."""

    segments: list[int]
    workspace: int
    io: int


@dataclass(frozen=True)
class _Argument:
    """The place of a tensor: a part of memory, and the distance from its beginning."""

    space: str
    index: int
    offset: int


class DeviceProgram:
    """One batch size. `place` and `run` come from one thread at a time, which the caller sees to."""

    def __init__(
        self,
        driver: Driver,
        variant: Variant,
        slot: Slot,
        launches: Mapping[str, tuple[Launch, ...]],
        functions: Mapping[str, int],
        places: Places,
        *,
        graph_stream: int | None,
    ) -> None:
        """`graph_stream`: brings the graph onto the GPU; None: the kernels are launched one by one."""
        self._driver = driver
        tensors = [_argument(tensor, slot) for tensor in variant.tensors]
        self._arguments: list[tuple[_Argument, ...]] = []
        self._calls: list[KernelCall] = []
        for step in variant.steps:
            for launch in launches[step.kernel]:
                arguments = tuple(tensors[step.args[number]] for number in launch.args)
                self._arguments.append(arguments)
                addresses = tuple(_address(argument, places) for argument in arguments)
                function = functions[launch.function]
                self._calls.append(
                    KernelCall(function, launch.grid, launch.block, launch.shared_bytes, addresses)
                )
        self._using = {
            space: [i for i, found in enumerate(self._arguments) if any(a.space == space for a in found)]
            for space in ("weight", "io")
        }
        self._graph: int | None = None
        if graph_stream is not None and len(self._calls) >= FEWEST:
            self._graph = driver.graph(self._calls, graph_stream)
        self._events = [] if self._graph is not None else [driver.event() for _ in range(IN_FLIGHT)]
        self.expected_ns = 0
        """How long it took last."""

    def place(self, space: str, places: Places) -> None:
        """From the next run on, `space` ("weight" or "io") is where `places` has it."""
        for position in self._using[space]:
            call = self._calls[position]
            addresses = tuple(_address(argument, places) for argument in self._arguments[position])
            if addresses == call.arguments:
                continue
            self._calls[position] = replace(call, arguments=addresses)
            if self._graph is not None:
                self._driver.change(self._graph, position, self._calls[position])

    def run(self, stream: int) -> None:
        """Enqueues the kernels; without a graph, waits where many are queued."""
        if self._graph is not None:
            self._driver.launch_graph(self._graph, stream)
            return
        for number, call in enumerate(self._calls):
            turn, place = divmod(number, WINDOW)
            if place == 0 and turn >= IN_FLIGHT:
                while not self._driver.happened(self._events[turn % IN_FLIGHT]):
                    pass
            self._driver.launch(call, stream)
            if place == WINDOW - 1:
                self._driver.record(self._events[turn % IN_FLIGHT], stream)

    def close(self) -> None:
        if self._graph is not None:
            self._driver.free_graph(self._graph)
            self._graph = None


def _argument(tensor: TensorRef, slot: Slot) -> _Argument:
    """Inputs and outputs lie in the slot."""
    if tensor.space == "input":
        return _Argument("io", 0, slot.inputs[tensor.index] + tensor.offset)
    if tensor.space == "output":
        return _Argument("io", 0, slot.outputs[tensor.index] + tensor.offset)
    return _Argument(tensor.space, tensor.index, tensor.offset)


def _address(argument: _Argument, places: Places) -> int:
    if argument.space == "io":
        return places.io + argument.offset
    if argument.space == "workspace":
        return places.workspace + argument.offset
    return places.segments[argument.index] + argument.offset
