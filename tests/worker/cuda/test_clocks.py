"""Which of the clocks that a GPU tells are believed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.cuda.clocks import ClockTracker
from tests.test_nvml import library

BUS = "0000:17:00.0"
IDLE = 0
"""A look at which the GPU does nothing, whatever its clock is."""


def told(looks: Sequence[int]) -> list[int]:
    """What a worker is told after each look, which sees this clock; its own answers follow each other."""
    pynvml = library()
    tracker = ClockTracker(Nvml(pynvml), BUS)
    news = []
    for mhz in looks:
        pynvml.nvmlDeviceGetClockInfo = lambda handle, clock, mhz=mhz: mhz
        tracker.look(mhz != IDLE)
        news.append(tracker.take())
    return news


@pytest.mark.parametrize(
    ("looks", "news"),
    [
        ([1410, 1410, 1410, 1410], [0, 0, 1410, 1410]),
        ([345, 1980, 1980], [0, 0, 1980]),
        ([345, 345, 1980, 1980], [0, 0, 1980, 1980]),
        ([345, 345, IDLE, 345, 345, IDLE], [0] * 6),
        ([1980] * 3 + [IDLE, 345, 345, 1980], [0, 0, 1980, 0, 0, 0, 1980]),
        ([1980] * 3 + [1200] * 4, [0, 0, 1980, 0, 0, 1200, 1200]),
        ([1980] * 3 + [1200, 1980], [0, 0, 1980, 0, 1980]),
        ([1200] * 3 + [1980], [0, 0, 1200, 1980]),
    ],
    ids=["steady", "ramp", "slow ramp", "bursts", "ramp again", "a fall", "a dip", "a rise"],
)
def test_a_clock_is_believed_where_no_look_at_the_same_work_saw_a_higher_one(
    looks: list[int], news: list[int]
) -> None:
    """A GPU that was idle is seen at its idle clock while it begins to work."""
    assert told(looks) == news


def test_a_clock_is_told_once() -> None:
    tracker = ClockTracker(Nvml(library()), BUS)
    for _ in range(3):
        tracker.look(True)
    assert [tracker.take(), tracker.take()] == [1410, 0]


def test_what_nobody_took_is_not_told_of_later_work() -> None:
    tracker = ClockTracker(Nvml(library()), BUS)
    for working in (True, True, True, False, True):
        tracker.look(working)
    assert tracker.take() == 0


def test_the_thread_looks_only_while_the_gpu_works(monkeypatch: pytest.MonkeyPatch) -> None:
    """An idle one lowers its clock."""
    pynvml = library()
    asked: list[int] = []
    pynvml.nvmlDeviceGetClockInfo = lambda handle, clock: asked.append(handle) or 1410
    tracker = ClockTracker(Nvml(pynvml), BUS)
    before: list[int] = []
    seen = threading.Event()

    def working() -> bool:
        before.append(len(asked))
        if len(before) == 4:
            tracker.stop()
            seen.set()
        return len(before) == 2

    monkeypatch.setattr("clockwork_triton.worker.cuda.clocks.PERIOD_S", 0)
    tracker.start(working)
    assert seen.wait(10)
    assert before == [0, 0, 1, 1]


@pytest.mark.parametrize(("nvml", "bus"), [(None, BUS), (Nvml(library()), "0000:99:00.0")])
def test_a_clock_that_nobody_tells_is_zero(nvml: Any, bus: str) -> None:
    tracker = ClockTracker(nvml, bus)
    for _ in range(3):
        tracker.look(True)
    assert tracker.take() == 0
