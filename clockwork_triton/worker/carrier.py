"""Carries tensors between the memory of front ends and the I/O slots."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence

from clockwork_triton.artifact import Manifest
from clockwork_triton.transport.messages import Part
from clockwork_triton.worker.device import DeviceOptions


class Carrier:
    """ValueError for a part that lies outside of its arena."""

    def __init__(self, options: DeviceOptions) -> None:
        self._slot_bytes = options.slot_bytes
        self._slots = memoryview(mmap.mmap(options.io_fd, options.slots * options.slot_bytes))
        self._arenas = [memoryview(mmap.mmap(fd, os.fstat(fd).st_size)) for fd in options.arena_fds]

    def fetch(self, manifest: Manifest, batch_size: int, slot: int, parts: Sequence[Part]) -> None:
        """The inputs of the parts, from their arenas to their rows of the slot."""
        slots = self._slots
        places = manifest.slot(batch_size).inputs
        for part in parts:
            sources = manifest.slot(part.rows).inputs
            for tensor, source, place in zip(manifest.inputs, sources, places, strict=True):
                size = part.rows * tensor.row_bytes
                at = slot * self._slot_bytes + place + part.row * tensor.row_bytes
                slots[at : at + size] = self._arenas[part.arena][part.place + source :][:size]

    def bring(self, manifest: Manifest, batch_size: int, slot: int, parts: Sequence[Part]) -> None:
        """The outputs of the parts, from their rows of the slot to their arenas."""
        slots = self._slots
        places = manifest.slot(batch_size).outputs
        for part in parts:
            targets = manifest.slot(part.rows).outputs
            for tensor, target, place in zip(manifest.outputs, targets, places, strict=True):
                size = part.rows * tensor.row_bytes
                at = slot * self._slot_bytes + place + part.row * tensor.row_bytes
                self._arenas[part.arena][part.place + target :][:size] = slots[at : at + size]
