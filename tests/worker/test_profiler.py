from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.device import UnsuitableModel
from clockwork_triton.worker.profiler import LOADS, Subject, measure, rounds, subject
from tests.worker import tiny
from tests.worker.fake_device import FakeDevice


class Clocked(FakeDevice):
    """Each call takes a nanosecond more than the one before it; INFERs note what lies in the slot."""

    def __init__(self, slot: mmap.mmap) -> None:
        super().__init__()
        self.slot = slot
        self.inputs: dict[int, bytes] = {}

    def load(self, model_id: int, first_pages: Sequence[int]) -> Stages:
        self.calls.append(("load", tuple(first_pages)))
        return Stages(0, len(self.calls))

    def infer(self, model_id: int, batch_size: int, slot: int) -> Stages:
        self.calls.append(("infer", batch_size))
        self.inputs[batch_size] = self.slot[: 4 * 4 * batch_size]
        self.slot[:] = b"\xff" * len(self.slot)
        return Stages(0, len(self.calls))


def test_batch_sizes_take_turns_and_the_first_rounds_are_discarded() -> None:
    with mmap.mmap(-1, 4096) as slot:
        device = Clocked(slot)
        ticks: list[None] = []
        profile = measure(Subject(device, tiny.manifest(), slot), (1, 4), 30, lambda: ticks.append(None))
    assert len(ticks) == rounds(30) == 33
    infers = [call[1] for call in device.calls if call[0] == "infer"]
    assert infers == [1, 4] * 33
    assert profile.device_kind == "fake"
    assert {size: times.count for size, times in profile.infer.items()} == {1: 30, 4: 30}
    discarded = 3 * 3
    assert profile.infer[1].min_ns > discarded
    assert profile.infer[4].max_ns == len(device.calls)


@pytest.mark.parametrize("runs", [1, 7, LOADS, 100])
def test_loads_are_spread_over_the_rounds(runs: int) -> None:
    with mmap.mmap(-1, 4096) as slot:
        device = Clocked(slot)
        profile = measure(Subject(device, tiny.manifest(), slot), (1,), runs)
    assert profile.load.count == min(runs, LOADS)
    assert {call[1] for call in device.calls if call[0] == "load"} == {(0, 1)}
    assert device.calls[0][0] == "load"


def test_inputs_are_written_before_every_run_integers_as_zero() -> None:
    manifest = tiny.manifest()
    with mmap.mmap(-1, 4096) as slot:
        device = Clocked(slot)
        measure(Subject(device, manifest, slot), (1, 2), 3)
        for size in (1, 2):
            values = np.frombuffer(device.inputs[size], np.float32)
            assert ((values >= 0) & (values < 1)).all()
            assert values.any()
        integers = replace(manifest, inputs=(TensorSpec("x", "int32", (tiny.WIDTH,)),))
        measure(Subject(device, integers, slot), (2,), 3)
        assert device.inputs[2] == bytes(32)


def test_a_real_artifact_is_measured(artifact: Path) -> None:
    with subject(artifact, "cpu:0") as measured:
        assert measured.batch_sizes == (*tiny.SIZES, tiny.BROKEN_SIZE)
        profile = measure(measured, tiny.SIZES, 10)
    assert profile.load.min_ns > 0
    assert all(0 < times.min_ns <= times.max_ns for times in profile.infer.values())


def test_what_cannot_run_is_said_why(tmp_path: Path) -> None:
    artifact = tiny.write(tmp_path / "tiny", None)
    with pytest.raises(UnsuitableModel, match="no profile for v100"), subject(artifact, "emulated:v100"):
        pass
