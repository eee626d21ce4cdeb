"""What is measured of a model: on a fake driver and an emulated GPU."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import bench, kit, measure
from benchmarks.gpu.bench import SLOTS
from benchmarks.gpu.results import Failure, Infer, OneSlot, Times, from_line, to_line
from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.cuda.clocks import ClockTracker
from tests.benchmarks.gpu.fake_gpu import FakeGpu, SharedDriver
from tests.benchmarks.gpu.prepared import prepared, unpacked
from tests.cuda.emulator import needs_emulation

RUNS = 30
FOREVER = float("inf")
CHANGE_NS = 100_000


class SlowDriver(SharedDriver):
    """To change a graph takes a while."""

    def change(self, graph: int, position: int, arguments: list[int]) -> None:
        super().change(graph, position, arguments)
        self.clock.now_ns += CHANGE_NS


@needs_emulation
def test_a_prepared_model_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(tmp_path / "kit", monkeypatch)
    (model,) = kit.read(tmp_path / "kit")
    assert (model.key, model.batches, model.weights) == ("resnet50 tf32", (1, 2), True)
    assert not (model.artifact / "weights.bin").exists()
    model.unpack()
    gpu = FakeGpu(found.kernels(tmp_path))
    infers = list(measure.infers(model, gpu.open, RUNS, FOREVER, **gpu.device))
    assert [(type(infer), infer.batch) for infer in infers if not isinstance(infer, Failure)] == [
        *((Infer, 1), (OneSlot, 1), (Infer, 2), (OneSlot, 2))
    ]
    first = infers[0]
    assert isinstance(first, Infer)
    assert first.difference is not None
    assert 0 < first.difference < first.allowed
    # The fake driver's kernels take ten microseconds each, and all alike.
    assert first.times.gpu == Times(RUNS, *[10.0 * first.launches] * 4)
    # The call is seen to be done after the execution, and the answer is there after that.
    assert first.times.gpu.p50 < first.times.wall.p50 < first.times.answer.p50 < first.times.gpu.p50 + 10
    assert first.around == pytest.approx(first.times.answer.p50 - first.times.gpu.p50, abs=1)
    assert (first.over, first.under) == (0, 0)
    assert first.copies == pytest.approx(0.02e-3 * 4 * (16 + 8), rel=0.3)
    assert from_line(to_line(first)) == first
    (plain, _) = measure.plain(model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert not isinstance(plain, Failure)
    assert plain.times.gpu == first.times.gpu


@needs_emulation
def test_infers_come_from_all_slots_in_turn_and_then_from_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unpacked(tmp_path / "kit", monkeypatch)
    gpu = FakeGpu(found.kernels(tmp_path), SlowDriver)
    turn, same, *_ = measure.infers(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert isinstance(turn, Infer)
    assert isinstance(same, OneSlot)
    assert turn.slots == SLOTS == 8
    # A new slot is a change of the launches that read the input and write the output, none of the execution.
    assert turn.times.gpu == same.times.gpu
    assert turn.times.wall.p50 - same.times.wall.p50 == pytest.approx(2 * CHANGE_NS / 1e3, rel=0.02)
    (driver,) = gpu.opened
    inputs = {done.call.arguments[0] for done in driver.done if done.call is not None}
    assert turn.difference is not None
    assert turn.difference < turn.allowed
    assert len(inputs) >= SLOTS


def test_the_clock_is_followed_meanwhile_as_in_a_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []

    class Tracker(ClockTracker):
        def __init__(self, nvml: Nvml | None, pci_bus_id: str) -> None:
            super().__init__(None, pci_bus_id)
            told.extend([nvml, pci_bus_id])

        def start(self, working: Callable[[], bool]) -> None:
            told.append(len(gpu.opened[0].graphs))

        def stop(self) -> None:
            told.append("stopped")

    monkeypatch.setattr(bench, "ClockTracker", Tracker)
    found = unpacked(tmp_path / "kit", monkeypatch, weights=False)
    gpu, nvml = FakeGpu({}), Nvml(None)
    list(measure.infers(found.model, gpu.open, 1, FOREVER, nvml=nvml, **gpu.device))
    assert told == [nvml, gpu.opened[0].facts.pci_bus_id, 0, "stopped"]


def test_infers_have_a_thread_that_is_prepared_when_the_device_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real-time priority is for it alone: what is started before is as ordinary as in a worker."""
    found = unpacked(tmp_path / "kit", monkeypatch, weights=False)
    gpu = FakeGpu({})
    prepared_by: list[tuple[str, int]] = []

    def prepare() -> None:
        prepared_by.append((threading.current_thread().name, len(gpu.opened[0].graphs)))

    list(measure.infers(found.model, gpu.open, 1, FOREVER, prepare=prepare, **gpu.device))
    assert prepared_by == [("infer_0", 2)]


@needs_emulation
def test_loads_go_to_other_pages_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = unpacked(tmp_path / "kit", monkeypatch)
    gpu = FakeGpu(found.kernels(tmp_path))
    (load,) = measure.loads(found.model, gpu.open, **gpu.device)
    assert load.still.count == load.moved.count == measure.LOADS
    assert load.raw_rate == pytest.approx(50, rel=0.1)
    assert 0 < load.rate(load.moved) <= load.raw_rate
    assert load.memory["weights"] == 2 * 16 << 20
    (driver,) = gpu.opened
    # Of each batch size, the launches that read weights learn of each move, and of no other LOAD.
    assert len(driver.changes) == 2 * 2 * measure.LOADS
    assert from_line(to_line(load)) == load


@needs_emulation
def test_a_batch_that_fails_is_no_other_s_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = unpacked(tmp_path / "kit", monkeypatch)
    stored = dict(np.load(found.model.folder / "check.npz"))
    del stored["1.in.x"]
    np.savez(found.model.folder / "check.npz", **stored)
    gpu = FakeGpu(found.kernels(tmp_path))
    first, second, _ = measure.infers(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert isinstance(first, Failure)
    assert first.what == "infer resnet50 tf32 1"
    assert "1.in.x" in first.reason
    assert isinstance(second, Infer)


def test_a_measurement_ends_in_time_with_one_run_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unpacked(tmp_path / "kit", monkeypatch, weights=False)
    gpu = FakeGpu({})
    infers = list(measure.infers(found.model, gpu.open, RUNS, 0.0, **gpu.device))
    assert [infer.times.gpu.count for infer in infers if isinstance(infer, Infer | OneSlot)] == [1] * 4
    assert [infer.difference for infer in infers if isinstance(infer, Infer)] == [None, None]


def test_percentiles_are_by_the_nearest_rank() -> None:
    times = Times.of([1000 * n for n in range(1, 10_001)])
    assert (times.count, times.p50, times.p99, times.p9999, times.longest) == (10000, 5000, 9900, 9999, 10000)
    assert times.spread == pytest.approx(0.9998)
