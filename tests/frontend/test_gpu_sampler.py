from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from clockwork_triton import event_loop
from clockwork_triton.frontend.gpu_sampler import PERIOD_S, GpuSampler
from clockwork_triton.nvml import GpuState
from tests.frontend.fakes import run

PATIENCE_S = 30.0


class Gpus:
    """One whose use counts the questions. `held`: they are answered when `let_go` says so."""

    def __init__(self, held: bool = False) -> None:
        self.asked = 0
        self.now_s = 100.0
        self.error: Exception | None = None
        self._free = threading.Event()
        if not held:
            self._free.set()

    def let_go(self) -> None:
        self._free.set()

    def ask(self) -> Sequence[GpuState]:
        assert self._free.wait(PATIENCE_S)
        self.asked += 1
        if self.error is not None:
            raise self.error
        return [GpuState("GPU-0", self.asked / 100, None, None, None, None, None, None)]

    def clock(self) -> float:
        return self.now_s


def _used(sampler: GpuSampler) -> list[float | None]:
    return [state.utilization for state in sampler.states]


def test_the_first_scrape_has_values_and_later_ones_those_of_the_last_second() -> None:
    async def test() -> None:
        gpus = Gpus()
        sampler = GpuSampler(gpus.ask, gpus.clock)
        assert _used(sampler) == []
        await sampler.sample(PATIENCE_S)
        assert _used(sampler) == [0.01]
        gpus.now_s += PERIOD_S / 2
        await sampler.sample(PATIENCE_S)
        assert _used(sampler) == [0.01]
        gpus.now_s += PERIOD_S
        await sampler.sample(PATIENCE_S)
        assert _used(sampler) == [0.02]

    run(test())


def test_a_driver_that_hangs_keeps_neither_the_loop_nor_a_scrape() -> None:
    async def test() -> None:
        gpus = Gpus(held=True)
        sampler = GpuSampler(gpus.ask, gpus.clock)
        for _ in range(3):
            await sampler.sample(0.0)
            gpus.now_s += PERIOD_S
        assert _used(sampler) == []
        gpus.let_go()
        scrapes = [sampler.sample(PATIENCE_S) for _ in range(3)]
        await asyncio.gather(*scrapes)
        assert _used(sampler) == [0.01]
        assert gpus.asked == 1

    run(test())


def test_a_driver_that_never_answers_keeps_no_server_from_ending() -> None:
    gpus = Gpus(held=True)

    async def test() -> None:
        await GpuSampler(gpus.ask, gpus.clock).sample(0.0)

    event_loop.run(test())
    [asking] = [thread for thread in threading.enumerate() if thread.name == "GPU states"]
    assert asking.daemon
    # It answers a loop that is closed.
    gpus.let_go()
    asking.join()
    assert gpus.asked == 1


def test_a_question_that_fails_is_logged_and_leaves_no_old_values(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        gpus = Gpus()
        sampler = GpuSampler(gpus.ask, gpus.clock)
        await sampler.sample(PATIENCE_S)
        gpus.now_s += PERIOD_S
        gpus.error = ValueError("no such driver")
        await sampler.sample(PATIENCE_S)
        assert _used(sampler) == []

    run(test())
    assert "no such driver" in caplog.text
