"""A model of a kit on a device of its own, called as the worker calls it but by nobody else."""

from __future__ import annotations

import mmap
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from clockwork_triton.artifact import Manifest
from clockwork_triton.datatypes import numpy_dtype
from clockwork_triton.engine.io_region import IoRegion
from clockwork_triton.engine.options import WorkerOptions
from clockwork_triton.nvml import Nvml
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.cuda.clocks import ClockTracker
from clockwork_triton.worker.cuda.device import CudaDevice
from clockwork_triton.worker.cuda.driver import Driver
from clockwork_triton.worker.device import DeviceOptions

Array = np.ndarray[Any, Any]
MODEL_ID = 1
SLOTS = WorkerOptions.slots
"""As many as a worker has, which a load that fills them all hands out in turn."""


@dataclass(frozen=True)
class Run:
    """One INFER, in nanoseconds on the worker's clock: when its inputs were on their way, when it was called,
    when its kernels were seen to have run."""

    arrived_ns: int
    called_ns: int
    seen_ns: int
    stages: Stages


class Bench:
    """The artifact is registered as models 1 to `copies`, and the arena has room for its weights at `places`
    places. INFERs have a thread of their own, as in a worker. Durations are in nanoseconds."""

    def __init__(
        self,
        artifact: Path,
        driver: Driver,
        *,
        places: int = 2,
        copies: int = 1,
        nvml: Nvml | None = None,
        prepare: Callable[[], object] = lambda: None,
        clock: Callable[[], int] = time.monotonic_ns,
        **device: Any,
    ) -> None:
        """`nvml`: who is asked for the GPU's clock meanwhile, None for nobody. `prepare`: for the thread of
        INFERs. `device`: more for CudaDevice. UnsuitableModel, ValueError, OSError or CudaError if it cannot
        be run."""
        self.artifact = artifact
        self.manifest = manifest = Manifest.read(artifact)
        self.pages = max(1, manifest.pages)
        slot_bytes = max(manifest.slot(size).bytes for size in manifest.batch_sizes)
        slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        self._clock = clock
        self._region = IoRegion(SLOTS, slot_bytes)
        options = DeviceOptions(
            memory_bytes=places * self.pages * manifest.page_bytes,
            workspace_bytes=manifest.workspace_bytes,
            page_bytes=manifest.page_bytes,
            slots=SLOTS,
            slot_bytes=slot_bytes,
            io_fd=self._region.fd,
        )
        tracker = ClockTracker(nvml, driver.facts.pci_bus_id)
        self.device = CudaDevice(options, driver, gpu_clock=tracker, clock=clock, **device)
        for model_id in range(MODEL_ID, MODEL_ID + copies):
            for _ in self.device.register(model_id, artifact):
                pass
        self._thread = ThreadPoolExecutor(1, "infer", prepare)

    def load(self, place: int = 0, model_id: int = MODEL_ID) -> int:
        """How long it took."""
        first_pages, page = [], place * self.pages
        for segment in self.manifest.segments:
            first_pages.append(page)
            page += segment.pages
        stages = self.device.load(model_id, first_pages)
        return stages.end_ns - stages.begin_ns

    def put(self, batch: int, inputs: Sequence[Array]) -> None:
        """Writes the inputs, in the manifest's order, into all slots; they stay until others are written."""
        for slot in range(SLOTS):
            view = self._region.slot(slot)
            for array, begin in zip(inputs, self.manifest.slot(batch).inputs, strict=True):
                view[begin : begin + array.nbytes] = array.tobytes()

    def infer(self, batch: int, slot: int = 0) -> Run:
        """Until the outputs are in the slot."""
        return self._thread.submit(self._infer, batch, slot).result()

    def infers(
        self,
        batch: int,
        runs: int,
        seconds: float,
        slots: int = SLOTS,
        enough: Callable[[], bool] | None = None,
    ) -> list[Run]:
        """INFERs from the first `slots` slots in turn: so many, and more until there are `enough`, or as many
        as there is time for; at least one."""
        return self._thread.submit(self._infers, batch, runs, seconds, slots, enough).result()

    def _infers(
        self, batch: int, runs: int, seconds: float, slots: int, enough: Callable[[], bool] | None
    ) -> list[Run]:
        found: list[Run] = []
        end = time.monotonic() + seconds
        while len(found) < runs or (enough is not None and not enough()):
            if found and time.monotonic() >= end:
                break
            found.append(self._infer(batch, len(found) % slots))
        return found

    def _infer(self, batch: int, slot: int) -> Run:
        """As a worker that has nothing else to do: inputs are on their way when it is called."""
        arrived_ns = self._clock()
        self.device.expect(MODEL_ID, batch, slot)
        called_ns = self._clock()
        outputs = self.device.infer(MODEL_ID, batch, slot)
        return Run(arrived_ns, called_ns, self._clock(), outputs.wait())

    def outputs(self, batch: int, slot: int = 0) -> list[Array]:
        """What the last INFER of this batch size wrote to the slot, flat, in the manifest's order."""
        view = self._region.slot(slot)
        places = zip(self.manifest.outputs, self.manifest.slot(batch).outputs, strict=True)
        return [
            np.frombuffer(bytes(view[begin : begin + tensor.row_bytes * batch]), numpy_dtype(tensor.dtype))
            for tensor, begin in places
        ]

    def close(self) -> None:
        self._thread.shutdown()
        self.device.close()
        self._region.close()
