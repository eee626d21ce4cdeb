"""A model of a kit on a device of its own, called as the worker calls it but by nobody else."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from clockwork_triton.artifact import Manifest
from clockwork_triton.datatypes import numpy_dtype
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.cuda.device import CudaDevice
from clockwork_triton.worker.cuda.driver import Driver
from clockwork_triton.worker.device import DeviceOptions

Array = np.ndarray[Any, Any]
MODEL_ID = 1


class Bench:
    """The artifact is registered as models 1 to `copies`, and the arena has room for its weights at `places`
    places. One I/O slot. Durations are in nanoseconds."""

    def __init__(
        self, artifact: Path, driver: Driver, *, places: int = 2, copies: int = 1, **device: Any
    ) -> None:
        """`device`: more for CudaDevice. UnsuitableModel, ValueError, OSError or CudaError if it cannot be
        run."""
        self.manifest = manifest = Manifest.read(artifact)
        self.pages = max(1, manifest.pages)
        slot_bytes = max(manifest.slot(size).bytes for size in manifest.batch_sizes)
        slot_bytes = -(-slot_bytes // mmap.PAGESIZE) * mmap.PAGESIZE
        io_fd = os.memfd_create("check-gpu", os.MFD_CLOEXEC)
        try:
            os.ftruncate(io_fd, slot_bytes)
            self._slot = mmap.mmap(io_fd, slot_bytes)
            options = DeviceOptions(
                memory_bytes=places * self.pages * manifest.page_bytes,
                workspace_bytes=manifest.workspace_bytes,
                page_bytes=manifest.page_bytes,
                slots=1,
                slot_bytes=slot_bytes,
                io_fd=io_fd,
            )
            self.device = CudaDevice(options, driver, **device)
        finally:
            os.close(io_fd)
        for model_id in range(MODEL_ID, MODEL_ID + copies):
            for _ in self.device.register(model_id, artifact):
                pass

    def load(self, place: int = 0, model_id: int = MODEL_ID) -> int:
        """How long it took."""
        first_pages, page = [], place * self.pages
        for segment in self.manifest.segments:
            first_pages.append(page)
            page += segment.pages
        stages = self.device.load(model_id, first_pages)
        return stages.end_ns - stages.begin_ns

    def put(self, batch: int, inputs: Sequence[Array]) -> None:
        """Writes the inputs, in the manifest's order; they stay until others are written."""
        for array, begin in zip(inputs, self.manifest.slot(batch).inputs, strict=True):
            self._slot[begin : begin + array.nbytes] = array.tobytes()

    def infer(self, batch: int) -> Stages:
        """Until the outputs are in the slot."""
        return self.device.infer(MODEL_ID, batch, 0).wait()

    def outputs(self, batch: int) -> list[Array]:
        """What the last INFER of this batch size wrote, flat, in the manifest's order."""
        places = zip(self.manifest.outputs, self.manifest.slot(batch).outputs, strict=True)
        return [
            np.frombuffer(self._slot[begin : begin + tensor.row_bytes * batch], numpy_dtype(tensor.dtype))
            for tensor, begin in places
        ]

    def close(self) -> None:
        self.device.close()
