"""What is measured of a model: on a fake driver and an emulated GPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import kit, measure
from benchmarks.gpu.results import Failure, Infer, Times, from_line, to_line
from clockwork_triton.worker.cuda.driver import Driver
from tests.benchmarks.gpu.prepared import prepared
from tests.cuda.emulator import needs_emulation
from tests.worker.cuda.fake_driver import Clock, FakeDriver

RUNS = 30
FOREVER = float("inf")


class Bench:
    """Opens fake drivers that share a clock."""

    def __init__(self, kernels: dict[str, Callable[[tuple[int, ...]], None]]) -> None:
        self.clock = Clock()
        self.kernels = kernels
        self.opened: list[FakeDriver] = []

    def open(self) -> Driver:
        driver = FakeDriver(self.clock, self.kernels)
        driver.ns_per_byte = 0.02
        self.opened.append(driver)
        return driver

    @property
    def device(self) -> dict[str, object]:
        return {"clock": self.clock, "sleep": self.clock.sleep}


@needs_emulation
def test_a_prepared_model_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(tmp_path / "kit", monkeypatch)
    (model,) = kit.read(tmp_path / "kit")
    assert (model.key, model.batches, model.weights) == ("resnet50 tf32", (1, 2), True)
    assert not (model.artifact / "weights.bin").exists()
    model.unpack()
    bench = Bench(found.kernels(tmp_path))
    infers = list(measure.infers(model, bench.open, RUNS, FOREVER, **bench.device))
    assert [infer.batch for infer in infers if isinstance(infer, Infer)] == [1, 2]
    first = infers[0]
    assert isinstance(first, Infer)
    assert first.difference is not None
    assert 0 < first.difference < first.allowed
    # The fake driver's kernels take ten microseconds each, and all alike.
    assert first.times == Times(RUNS, *[10.0 * first.launches] * 4)
    assert (first.over, first.under) == (0, 0)
    assert first.copies == pytest.approx(0.02e-3 * 4 * (16 + 8), rel=0.3)
    assert from_line(to_line(first)) == first
    (plain, _) = measure.plain(model, bench.open, RUNS, FOREVER, **bench.device)
    assert not isinstance(plain, Failure)
    assert plain.times == first.times


@needs_emulation
def test_loads_go_to_other_pages_by_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(tmp_path / "kit", monkeypatch)
    found.model.unpack()
    bench = Bench(found.kernels(tmp_path))
    (load,) = measure.loads(found.model, bench.open, **bench.device)
    assert load.still.count == load.moved.count == measure.LOADS
    assert load.raw_rate == pytest.approx(50, rel=0.1)
    assert 0 < load.rate(load.moved) <= load.raw_rate
    assert load.memory["weights"] == 2 * 16 << 20
    (driver,) = bench.opened
    # Of each batch size, the launches that read weights learn of each move, and of no other LOAD.
    assert len(driver.changes) == 2 * 2 * measure.LOADS
    assert from_line(to_line(load)) == load


@needs_emulation
def test_a_batch_that_fails_is_no_other_s_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(tmp_path / "kit", monkeypatch)
    found.model.unpack()
    stored = dict(np.load(found.model.folder / "check.npz"))
    del stored["1.in.x"]
    np.savez(found.model.folder / "check.npz", **stored)
    bench = Bench(found.kernels(tmp_path))
    first, second = measure.infers(found.model, bench.open, RUNS, FOREVER, **bench.device)
    assert isinstance(first, Failure)
    assert first.what == "infer resnet50 tf32 1"
    assert "1.in.x" in first.reason
    assert isinstance(second, Infer)


def test_a_measurement_ends_in_time_with_one_run_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = prepared(tmp_path / "kit", monkeypatch, weights=False)
    found.model.unpack()
    bench = Bench({})
    infers = list(measure.infers(found.model, bench.open, RUNS, 0.0, **bench.device))
    assert [infer.times.count for infer in infers if isinstance(infer, Infer)] == [1, 1]
    assert [infer.difference for infer in infers if isinstance(infer, Infer)] == [None, None]


def test_percentiles_are_by_the_nearest_rank() -> None:
    times = Times.of([1000 * n for n in range(1, 10_001)])
    assert (times.count, times.p50, times.p99, times.p9999, times.longest) == (10000, 5000, 9900, 9999, 10000)
    assert times.spread == pytest.approx(0.9998)
