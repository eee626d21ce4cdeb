"""A GPU as a device: an arena of pages, one workspace, a place for each I/O slot, and four streams.

Everything is allocated when the device is opened and when a model is registered. A LOAD copies pinned host
memory to pages. An INFER is three stages on three streams, tied by events: its inputs are on their way from
the moment it arrives, its kernels run when it starts, its outputs leave while the next one runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.pages import MIB
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.cuda.clocks import ClockTracker
from clockwork_triton.worker.cuda.driver import CudaError, Driver
from clockwork_triton.worker.cuda.kind import gpu_kind
from clockwork_triton.worker.cuda.memory import shared_bytes
from clockwork_triton.worker.cuda.model import GpuModel
from clockwork_triton.worker.cuda.program import IN_FLIGHT, DeviceProgram
from clockwork_triton.worker.cuda.streams import Span, Streams, Waiter
from clockwork_triton.worker.device import DeviceOptions, Outputs, Registered
from clockwork_triton.worker.suitability import check_fit, check_gpu

# Copies of weights under way at once: the copy engine has two more while the thread comes to give it another,
# and inputs wait for three at most.
COPIES_IN_FLIGHT = 3
# Memory that the driver's context, device code and graphs take, which nobody can tell beforehand; where
# weights get all that is left, there will be more models, so at least such a part is left too.
RESERVED_BYTES = 512 * MIB
RESERVED_SHARE = 0.02
# A GPU that has nothing to do keeps its clock for at least so long.
RECENT_NS = 50_000_000


@dataclass
class _SlotStages:
    """`arriving`: the model and batch size whose inputs are on their way."""

    input: Span
    execution: Span
    output: Span
    arriving: tuple[int, int] | None = None


class CudaDevice:
    """See Device. `graphs`: whether the kernels of an INFER are launched as one; `gpu_clock` follows the
    GPU's as long as the device is open; `clock` is the worker's."""

    overlaps = True

    def __init__(
        self,
        options: DeviceOptions,
        driver: Driver,
        *,
        graphs: bool = True,
        gpu_clock: ClockTracker | None = None,
        clock: Callable[[], int] = time.monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """OSError or CudaError if the memory asked for is not there."""
        self.kind = gpu_kind(driver.facts)
        self.page_bytes = options.page_bytes
        self.pages = pages_of(options, driver.available())
        self.workspace_bytes = options.workspace_bytes
        self._executing = False
        self._executed_ns = -RECENT_NS
        self._driver = driver
        self._graphs = graphs
        self._clock = clock
        self._gpu_clock = gpu_clock or ClockTracker(None, driver.facts.pci_bus_id)
        self._slot_bytes = options.slot_bytes
        io_bytes = options.slots * options.slot_bytes
        self._arena = driver.allocate(max(1, self.pages) * self.page_bytes)
        self._workspace = driver.allocate(max(1, options.workspace_bytes))
        self._device_io = driver.allocate(io_bytes)
        self._host = shared_bytes(options.io_fd, io_bytes)
        self._host_io = self._host.ctypes.data
        driver.pin(self._host_io, io_bytes)
        self._streams = Streams.of(driver)
        self._waiter = Waiter(driver, clock, sleep)
        self._slots = [
            _SlotStages(Span.of(driver), Span.of(driver), Span.of(driver)) for _ in range(options.slots)
        ]
        self._loading = Span.of(driver)
        self._copied = [driver.event() for _ in range(COPIES_IN_FLIGHT)]
        self._window = [driver.event() for _ in range(IN_FLIGHT)]
        self._models: dict[int, GpuModel] = {}
        # The thread that receives and the one that executes both begin copies of inputs.
        self._inputs = threading.Lock()
        self._gpu_clock.start(self.working)

    @property
    def lost(self) -> bool:
        return self._driver.lost

    @property
    def clock_mhz(self) -> int:
        return self._gpu_clock.take()

    def register(self, model_id: int, artifact: Path) -> Iterator[None]:
        manifest = Manifest.read(artifact)
        check_gpu(manifest, self._driver.facts)
        check_fit(
            manifest,
            page_bytes=self.page_bytes,
            pages=self.pages,
            workspace_bytes=self.workspace_bytes,
            slot_bytes=self._slot_bytes,
        )
        yield
        model = GpuModel(self._driver, manifest, artifact)
        places = {
            "weight": [self._arena] * len(manifest.segments),
            "workspace": [self._workspace],
            "io": [self._device_io],
        }
        yield from model.prepare(places, self._window, self._streams.weights, graphs=self._graphs)
        self._models[model_id] = model

    def registered(self, model_id: int) -> Registered | None:
        model = self._models.get(model_id)
        return None if model is None else model.facts

    def unregister(self, model_id: int) -> Iterator[None]:
        model = self._models.pop(model_id, None)
        if model is not None:
            yield from model.closing()

    def load(self, model_id: int, first_pages: Sequence[int]) -> Stages:
        """The programs learn of the new places while copies are under way."""
        model = self._models[model_id]
        driver, stream = self._driver, self._streams.weights
        segments = [self._arena + first * self.page_bytes for first in first_pages]
        moving = model.moving(segments, stream)
        driver.record(self._loading.begin, stream)
        for number, (device, host, size) in enumerate(model.copies(segments)):
            event = self._copied[number % COPIES_IN_FLIGHT]
            if number >= COPIES_IN_FLIGHT:
                self._waiter.wait(event, meanwhile=moving)
            driver.copy_in(device, host, size, stream)
            driver.record(event, stream)
        for _ in moving:
            pass
        driver.record(self._loading.end, stream)
        return Stages(*self._waiter.span(self._loading))

    def expect(self, model_id: int, batch_size: int, slot: int) -> None:
        """Begins copying the inputs. What is wrong with it will be said by `infer`."""
        model = self._models.get(model_id)
        if model is None or batch_size not in model.programs or not 0 <= slot < len(self._slots):
            return
        with suppress(CudaError), self._inputs:
            self._copy_inputs(model.manifest, model_id, batch_size, slot)

    def _copy_inputs(self, manifest: Manifest, model_id: int, batch_size: int, slot: int) -> None:
        stages, stream = self._slots[slot], self._streams.inputs
        stages.arriving = None
        size, _ = _slot_parts(manifest, batch_size)
        self._driver.record(stages.input.begin, stream)
        if size:
            base = slot * self._slot_bytes
            self._driver.copy_in(self._device_io + base, self._host_io + base, size, stream)
        self._driver.record(stages.input.end, stream)
        stages.arriving = model_id, batch_size

    def infer(self, model_id: int, batch_size: int, slot: int) -> Outputs:
        """Returns when the kernels have run."""
        model, stages = self._models[model_id], self._slots[slot]
        driver = self._driver
        with self._inputs:
            if stages.arriving != (model_id, batch_size):
                self._copy_inputs(model.manifest, model_id, batch_size, slot)
            stages.arriving = None
        program = model.use_slot(batch_size, self._device_io + slot * self._slot_bytes)
        begin_ns, end_ns = self._execute(program, stages, model.manifest, batch_size, slot)
        program.took(end_ns - begin_ns)
        # The inputs came before, however long before; the GPU's clock says when and how long they took.
        input_end_ns = begin_ns - driver.elapsed_ns(stages.input.end, stages.execution.begin)
        input_ns = driver.elapsed_ns(stages.input.begin, stages.input.end)
        measured = Stages(begin_ns, end_ns, input_end_ns - input_ns, input_end_ns)
        return _Leaving(self, stages.output, measured)

    def _execute(
        self, program: DeviceProgram, stages: _SlotStages, manifest: Manifest, batch_size: int, slot: int
    ) -> tuple[int, int]:
        """When it began and ended; its outputs are on their way."""
        driver, stream = self._driver, self._streams.execution
        driver.wait(stream, stages.input.end)
        driver.record(stages.execution.begin, stream)
        self._executing = True
        try:
            program.run(stream)
            driver.record(stages.execution.end, stream)
            self._copy_outputs(manifest, batch_size, slot)
            return self._waiter.span(stages.execution, program.expected_ns)
        finally:
            self._executing, self._executed_ns = False, self._clock()

    def working(self) -> bool:
        """Whether kernels run, or did a moment ago."""
        return self._executing or self._clock() - self._executed_ns < RECENT_NS

    def _copy_outputs(self, manifest: Manifest, batch_size: int, slot: int) -> None:
        stages, stream = self._slots[slot], self._streams.outputs
        begin, end = _slot_parts(manifest, batch_size)
        self._driver.wait(stream, stages.execution.end)
        self._driver.record(stages.output.begin, stream)
        if end > begin:
            place = slot * self._slot_bytes + begin
            self._driver.copy_out(self._host_io + place, self._device_io + place, end - begin, stream)
        self._driver.record(stages.output.end, stream)

    def finish(self, output: Span, measured: Stages) -> Stages:
        """Waits until the outputs of an INFER are in the slot."""
        begin_ns, end_ns = self._waiter.span(output)
        return measured._replace(output_begin_ns=begin_ns, output_end_ns=end_ns)

    def close(self) -> None:
        self._gpu_clock.stop()
        for model in self._models.values():
            for _ in model.closing():
                pass
        self._models.clear()
        with suppress(CudaError):
            self._driver.unpin(self._host_io)
        for address in (self._arena, self._workspace, self._device_io):
            with suppress(CudaError):
                self._driver.free(address)
        with suppress(CudaError):
            self._driver.close()


@dataclass(frozen=True)
class _Leaving:
    """The outputs of an INFER whose kernels have run."""

    device: CudaDevice
    output: Span
    measured: Stages

    def wait(self) -> Stages:
        return self.device.finish(self.output, self.measured)


def _slot_parts(manifest: Manifest, batch_size: int) -> tuple[int, int]:
    """Where in a slot the outputs begin, which lie behind the inputs, and where they end."""
    slot = manifest.slot(batch_size)
    return (slot.outputs[0] if slot.outputs else slot.bytes), slot.bytes


def pages_of(options: DeviceOptions, there: int) -> int:
    """The pages for weights: as many as asked for, or as there is room for. OSError, with the sum, if that is
    too little."""
    parts = {
        "weights": max(options.memory_bytes, options.page_bytes),
        "workspace": options.workspace_bytes,
        "I/O slots": options.slots * options.slot_bytes,
        "the driver": RESERVED_BYTES,
    }
    if sum(parts.values()) > there:
        listed = ", ".join(f"{size // MIB} MiB for {name}" for name, size in parts.items())
        raise OSError(f"the GPU has {there // MIB} MiB of memory to spare, which is too little: {listed}")
    if options.memory_bytes:
        return options.memory_bytes // options.page_bytes
    parts["the driver"] = max(RESERVED_BYTES, int(RESERVED_SHARE * there))
    room = there - sum(parts.values()) + parts["weights"]
    return room // options.page_bytes
