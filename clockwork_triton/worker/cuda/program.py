"""A variant bound to device memory: kernel calls, whose addresses follow what moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from clockwork_triton.artifact import TensorRef, Variant
from clockwork_triton.artifact.manifest import Launch, Slot
from clockwork_triton.worker.cuda.driver import Driver, KernelCall

# Fewer launches than this are made one by one: a graph would not make them cheaper.
FEWEST = 3
# Of launches made one by one, so many are between two events, and at most two events are waited for: what is
# queued on the GPU stays bounded.
WINDOW = 16
IN_FLIGHT = 2
# It is expected to take as long as the shortest of so many runs before: one may have been held up.
REMEMBERED = 8


# By space of the device's memory, where its parts begin: "weight", those of a model's segments; "workspace";
# "io", that of the slot.
Places = Mapping[str, Sequence[int]]
# The position of a call, and those of its arguments that are in a space: number, part, distance into it.
_Moving = tuple[int, tuple[tuple[int, int, int], ...]]


@dataclass(frozen=True)
class _Argument:
    """The place of a tensor: a part of memory, and the distance from its beginning."""

    space: str
    index: int
    offset: int


class DeviceProgram:
    """One batch size. `placing` and `run` come from one thread at a time, which the caller sees to."""

    def __init__(
        self,
        driver: Driver,
        variant: Variant,
        slot: Slot,
        launches: Mapping[str, tuple[Launch, ...]],
        functions: Mapping[str, int],
        places: Places,
        window: Sequence[int],
        *,
        graph_stream: int | None,
    ) -> None:
        """`graph_stream`: brings the graph onto the GPU; None: the kernels are launched one by one, and the
        events of `window` bound how many are queued."""
        self._driver = driver
        tensors = [_argument(tensor, slot) for tensor in variant.tensors]
        self._addresses: list[list[int]] = []
        self._calls: list[KernelCall] = []
        self._moving: dict[str, list[_Moving]] = {space: [] for space in places}
        for step in variant.steps:
            for launch in launches[step.kernel]:
                arguments = [tensors[step.args[number]] for number in launch.args]
                addresses = [places[a.space][a.index] + a.offset for a in arguments]
                for space, moving in self._moving.items():
                    moved = [
                        (number, a.index, a.offset) for number, a in enumerate(arguments) if a.space == space
                    ]
                    if moved:
                        moving.append((len(self._calls), tuple(moved)))
                self._addresses.append(addresses)
                self._calls.append(
                    KernelCall(
                        functions[launch.function], launch.grid, launch.block, launch.shared_bytes, addresses
                    )
                )
        self._graph: int | None = None
        if graph_stream is not None and len(self._calls) >= FEWEST:
            self._graph = driver.graph(self._calls)
            driver.upload(self._graph, graph_stream)
        self._window = window
        self._times_ns: deque[int] = deque(maxlen=REMEMBERED)

    @property
    def expected_ns(self) -> int:
        """How long a run takes if nothing holds it up; 0 before the first."""
        return min(self._times_ns, default=0)

    def took(self, duration_ns: int) -> None:
        self._times_ns.append(duration_ns)

    def placing(self, space: str, begins: Sequence[int], stream: int | None = None) -> Iterator[None]:
        """Once this has ended, the parts of `space` ("weight" or "io") are where `begins` says. After each
        piece, some microseconds, the caller may do something else. `stream`: brings it onto the GPU; None:
        the next run does."""
        moves = False
        for position, moved in self._moving[space]:
            addresses = self._addresses[position]
            placed = addresses.copy()
            for number, index, offset in moved:
                placed[number] = begins[index] + offset
            if placed == addresses:
                continue
            if self._graph is not None:
                self._driver.change(self._graph, position, placed)
            # Not before the graph has them: after a failure the next placing is to see that they differ.
            addresses[:] = placed
            if self._graph is not None:
                moves = True
                yield
        if moves and self._graph is not None and stream is not None:
            self._driver.upload(self._graph, stream)

    def run(self, stream: int) -> None:
        """Enqueues the kernels; without a graph, waits where many are queued."""
        if self._graph is not None:
            self._driver.launch_graph(self._graph, stream)
            return
        for number, call in enumerate(self._calls):
            turn, place = divmod(number, WINDOW)
            if place == 0 and turn >= IN_FLIGHT:
                while not self._driver.happened(self._window[turn % IN_FLIGHT]):
                    pass
            self._driver.launch(call, stream)
            if place == WINDOW - 1:
                self._driver.record(self._window[turn % IN_FLIGHT], stream)

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
