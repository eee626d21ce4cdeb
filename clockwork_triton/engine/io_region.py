"""The memory through which tensors pass between this process and one worker."""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.manifest import Slot
from clockwork_triton.inference import BUFFER_TYPES, InferenceCall


class IoRegion:
    """An anonymous shared file cut into slots; an INFER uses one from its dispatch to its result.

    The file is sparse: a slot takes memory only as far as it was ever written. Slots are handed out last
    in, first out, so that few of them are touched.
    """

    def __init__(self, slots: int, slot_bytes: int) -> None:
        assert slots > 0
        assert slot_bytes % mmap.PAGESIZE == 0
        self.slots = slots
        self.slot_bytes = slot_bytes
        self.fd = os.memfd_create("clockwork-io", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, slots * slot_bytes)
        self._map = mmap.mmap(self.fd, slots * slot_bytes)
        self._view = memoryview(self._map)
        self._free = list(reversed(range(slots)))

    def take(self) -> int:
        """A free slot. The controller never has more INFERs outstanding at a worker than there are slots."""
        return self._free.pop()

    def give_back(self, slot: int) -> None:
        assert slot not in self._free
        self._free.append(slot)

    def slot(self, slot: int) -> memoryview:
        """The bytes of a slot, for as long as it is taken."""
        begin = slot * self.slot_bytes
        return self._view[begin : begin + self.slot_bytes]

    def write_inputs(
        self, slot: int, manifest: Manifest, batch_size: int, calls: Sequence[InferenceCall]
    ) -> None:
        """Lays the inputs of the calls one after the other, and zeroes the rows of padding. The rows of calls
        with blocks are left to the worker."""
        layout = manifest.slot(batch_size)
        base = slot * self.slot_bytes
        view = self._view
        for index, tensor in enumerate(manifest.inputs):
            position = base + layout.inputs[index]
            end = position + tensor.row_bytes * batch_size
            for call in calls:
                if call.block is not None:
                    position += call.rows * tensor.row_bytes
                    continue
                buffer = call.inputs[index]
                stop = position + len(buffer)
                if isinstance(buffer, BUFFER_TYPES):
                    view[position:stop] = buffer
                else:
                    buffer.read_into(view[position:stop])
                position = stop
            if position < end:
                view[position:end] = bytes(end - position)

    def read_outputs(
        self, slot: int, manifest: Manifest, layout: Slot, row: int, rows: int
    ) -> tuple[bytes, ...]:
        """A copy of `rows` rows of every output, beginning with row `row`."""
        base = slot * self.slot_bytes
        outputs = []
        for tensor, place in zip(manifest.outputs, layout.outputs, strict=True):
            begin = base + place + row * tensor.row_bytes
            outputs.append(self._map[begin : begin + rows * tensor.row_bytes])
        return tuple(outputs)

    def close(self) -> None:
        """May be called again."""
        if self._map.closed:
            return
        self._view.release()
        self._map.close()
        os.close(self.fd)
