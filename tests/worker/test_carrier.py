from __future__ import annotations

import mmap
import os
from collections.abc import Iterator

import pytest

from clockwork_triton.transport.messages import Part
from clockwork_triton.worker.carrier import Carrier
from clockwork_triton.worker.device import DeviceOptions
from tests.worker.fake_device import MANIFEST

SLOT_BYTES = 4096
ARENA_BYTES = 8192


class Memory:
    """Two slots and two arenas."""

    def __init__(self) -> None:
        self.fds = [os.memfd_create(name) for name in ("slots", "first", "second")]
        for fd, size in zip(self.fds, (2 * SLOT_BYTES, ARENA_BYTES, ARENA_BYTES), strict=True):
            os.ftruncate(fd, size)
        self.slots, *self.arenas = (mmap.mmap(fd, os.fstat(fd).st_size) for fd in self.fds)
        options = DeviceOptions(0, 0, 4096, 2, SLOT_BYTES, self.fds[0], tuple(self.fds[1:]))
        self.carrier = Carrier(options)


@pytest.fixture
def memory() -> Iterator[Memory]:
    memory = Memory()
    yield memory
    for fd in memory.fds:
        os.close(fd)


def test_rows_come_from_their_arenas_to_their_places_in_the_batch(memory: Memory) -> None:
    one, batch = MANIFEST.slot(1), MANIFEST.slot(2)
    for arena, text in zip(memory.arenas, (b"AAAaa", b"BBBbb"), strict=True):
        arena[1024 + one.inputs[0] : 1024 + one.inputs[0] + 3] = text[:3]
        arena[1024 + one.inputs[1] : 1024 + one.inputs[1] + 2] = text[3:]
    memory.carrier.fetch(MANIFEST, 2, 1, (Part(1, 1024, 0, 1), Part(0, 1024, 1, 1)))
    slot = memory.slots[SLOT_BYTES:]
    assert slot[batch.inputs[0] : batch.inputs[0] + 6] == b"BBBAAA"
    assert slot[batch.inputs[1] : batch.inputs[1] + 4] == b"bbaa"


def test_outputs_go_back_where_their_inputs_came_from(memory: Memory) -> None:
    one, batch = MANIFEST.slot(1), MANIFEST.slot(2)
    memory.slots[batch.outputs[0] : batch.outputs[0] + 8] = b"11112222"
    memory.carrier.bring(MANIFEST, 2, 0, (Part(0, 512, 0, 1), Part(1, 0, 1, 1)))
    assert memory.arenas[0][512 + one.outputs[0] : 512 + one.outputs[0] + 4] == b"1111"
    assert memory.arenas[1][one.outputs[0] : one.outputs[0] + 4] == b"2222"


def test_several_rows_of_one_request_stay_together(memory: Memory) -> None:
    two = MANIFEST.slot(2)
    memory.arenas[0][two.inputs[0] : two.inputs[0] + 6] = b"abcdef"
    memory.carrier.fetch(MANIFEST, 2, 0, (Part(0, 0, 0, 2),))
    assert memory.slots[two.inputs[0] : two.inputs[0] + 6] == b"abcdef"


def test_a_part_beyond_its_arena_is_refused(memory: Memory) -> None:
    with pytest.raises(ValueError, match="different structures"):
        memory.carrier.fetch(MANIFEST, 2, 0, (Part(0, ARENA_BYTES - 1, 0, 1),))
