"""What INFERs take while the worker does something else: on a fake driver and an emulated GPU."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import beside, measure
from benchmarks.gpu.bench import Bench, Run
from benchmarks.gpu.results import Busy, Failure, Infer, OneSlot, Registering, from_line, to_line
from clockwork_triton.worker.cuda.device import CudaDevice
from clockwork_triton.worker.cuda.driver import CudaError
from clockwork_triton.worker.registrar import Registrar
from tests.benchmarks.gpu.fake_gpu import FakeGpu, SharedDriver
from tests.benchmarks.gpu.prepared import Prepared, unpacked
from tests.worker.cuda.fake_driver import Clock, Kernel

RUNS = 30
FOREVER = float("inf")
PIECE_NS = 300_000
PAUSE_NS = 5_000_000
TIMEOUT_S = 30.0


class ClosedRoad(SharedDriver):
    """A piece of weights is on its way whenever inputs come."""

    def copy_in(self, device: int, host: int, size: int, stream: int) -> None:
        if self.priorities[stream]:
            self._engines["in"] = self.clock.now_ns + PIECE_NS
        super().copy_in(device, host, size, stream)


class Pausing(SharedDriver):
    """Code that is loaded beside an INFER keeps it waiting, once."""

    unlocked = SharedDriver.unlocked | {"load_module"}

    def __init__(self, clock: Clock, kernels: dict[str, Kernel]) -> None:
        super().__init__(clock, kernels)
        self.asked, self.waited = threading.Event(), threading.Event()

    def load_module(self, image: bytes) -> int:
        if self.modules:
            self.asked.set()
            assert self.waited.wait(TIMEOUT_S)
        return super().load_module(image)

    def happened(self, event: int) -> bool:
        if self.asked.is_set() and not self.waited.is_set():
            self.clock.now_ns += PAUSE_NS
            self.waited.set()
        return super().happened(event)


class Full(SharedDriver):
    """There is room for the code of one model."""

    def load_module(self, image: bytes) -> int:
        if self.modules:
            raise CudaError("cuModuleLoadData: out of memory")
        return super().load_module(image)


@pytest.fixture(autouse=True)
def _leave_the_collector_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.freeze", lambda: None)


@pytest.fixture
def found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Prepared:
    return unpacked(tmp_path / "kit", monkeypatch, weights=False)


def test_another_model_is_loaded_meanwhile(found: Prepared) -> None:
    gpu = FakeGpu({})
    (busy,) = beside.busy(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert isinstance(busy, Busy)
    assert busy.times.gpu.count >= RUNS
    assert from_line(to_line(busy)) == busy


def test_infers_go_on_until_a_load_has_ended(found: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    enough, more = threading.Event(), 5
    load, infer = Bench.load, Bench._infer
    seen: list[int] = []

    def late(bench: Bench, place: int = 0, model_id: int = 1) -> int:
        assert model_id == 1 or enough.wait(TIMEOUT_S)
        return load(bench, place, model_id)

    def counting(bench: Bench, batch: int, slot: int) -> Run:
        seen.append(slot)
        if len(seen) == measure.WARM_UP + RUNS + more:
            enough.set()
        return infer(bench, batch, slot)

    monkeypatch.setattr(Bench, "load", late)
    monkeypatch.setattr(Bench, "_infer", counting)
    gpu = FakeGpu({})
    (busy,) = beside.busy(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert isinstance(busy, Busy)
    assert busy.times.gpu.count >= RUNS + more


def test_inputs_that_wait_behind_weights_show_in_the_answer(found: Prepared) -> None:
    def p50(kind: type[SharedDriver]) -> tuple[float, float]:
        gpu = FakeGpu({}, kind)
        first, *_ = measure.infers(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
        assert isinstance(first, Infer | OneSlot)
        return first.times.gpu.p50, first.times.answer.p50

    (gpu, answer), (queued_gpu, queued_answer) = p50(SharedDriver), p50(ClosedRoad)
    # The kernels begin after the inputs, and know nothing of it.
    assert queued_gpu == gpu
    assert queued_answer - answer == pytest.approx(PIECE_NS / 1e3, abs=5)


def test_inputs_are_on_their_way_before_the_call(found: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []

    def note(name: str) -> None:
        method = getattr(CudaDevice, name)

        def noting(device: CudaDevice, *order: int) -> Any:
            calls.append(name)
            return method(device, *order)

        monkeypatch.setattr(CudaDevice, name, noting)

    note("expect")
    note("infer")
    gpu = FakeGpu({})
    list(beside.busy(found.model, gpu.open, 3, FOREVER, **gpu.device))
    assert calls
    assert calls == ["expect", "infer"] * (len(calls) // 2)


def test_a_load_that_fails_is_told(found: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    load = Bench.load

    def failing(bench: Bench, place: int = 0, model_id: int = 1) -> int:
        if model_id != 1:
            raise OSError("the road is closed")
        return load(bench, place, model_id)

    monkeypatch.setattr(Bench, "load", failing)
    gpu = FakeGpu({})
    (record,) = beside.busy(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert record == Failure("busy resnet50 tf32 1", "OSError: the road is closed")


def test_a_registration_beside_infers_shows_in_what_they_take(found: Prepared) -> None:
    gpu = FakeGpu({}, Pausing)
    (record,) = beside.registering(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert isinstance(record, Registering)
    assert record.quiet.gpu.count == RUNS <= record.times.gpu.count
    assert record.registrations >= 1
    quiet, times = record.quiet.answer, record.times.answer
    assert times.longest - quiet.longest == pytest.approx(PAUSE_NS / 1e3, rel=0.01)
    assert from_line(to_line(record)) == record
    (driver,) = gpu.opened
    # Both models are gone, with all that the registrations took.
    assert (driver.modules, driver.graphs, driver.pinned, driver.closed) == (set(), {}, {}, True)


def test_a_registration_that_fails_is_told(found: Prepared) -> None:
    gpu = FakeGpu({}, Full)
    (record,) = beside.registering(found.model, gpu.open, RUNS, FOREVER, **gpu.device)
    assert record == Failure("register resnet50 tf32", "cuModuleLoadData: out of memory")


def test_a_registration_that_does_not_end_in_time_is_told(
    found: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended, stop = threading.Event(), Registrar.stop

    class Slow(SharedDriver):
        unlocked = SharedDriver.unlocked | {"load_module"}

        def load_module(self, image: bytes) -> int:
            assert not self.modules or ended.wait(TIMEOUT_S)
            return super().load_module(image)

    def stopping(registrar: Registrar, timeout_s: float) -> None:
        ended.set()
        stop(registrar, timeout_s)

    monkeypatch.setattr(Registrar, "stop", stopping)
    gpu = FakeGpu({}, Slow)
    (record,) = beside.registering(found.model, gpu.open, 1, 0.0, **gpu.device)
    assert record == Failure("register resnet50 tf32", "no registration came to its end in time")
