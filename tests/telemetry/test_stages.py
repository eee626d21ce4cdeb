from __future__ import annotations

import asyncio
from collections.abc import Callable

from clockwork_triton import event_loop
from clockwork_triton.event_loop import turn_end
from clockwork_triton.inference import Moments
from clockwork_triton.telemetry.stages import STAGES, TOTAL, StageRecorder, Stages, quantiles_ns


class Clock:
    def __init__(self) -> None:
        self.now_ns = 0

    def __call__(self) -> int:
        return self.now_ns


def request(start_ns: int, step_ns: int) -> Stages:
    """Each stage up to the return takes `step_ns`."""
    stages = Stages(start_ns, start_ns + step_ns)
    stages.parsed_ns, stages.admitted_ns = start_ns + 2 * step_ns, start_ns + 3 * step_ns
    stages.moments = Moments(*(start_ns + n * step_ns for n in range(4, 9)))
    return stages


def record(recorder: StageRecorder, work: Callable[[], None]) -> None:
    async def turn() -> None:
        work()
        await asyncio.sleep(0)

    event_loop.run(turn())


def test_each_stage_is_the_time_between_its_moments() -> None:
    clock = Clock()
    recorder = StageRecorder(clock)

    def work() -> None:
        turn_end(asyncio.get_running_loop())(lambda: setattr(clock, "now_ns", 190))
        clock.now_ns = 185
        recorder.answered(request(100, 10))

    record(recorder, work)
    assert quantiles_ns(recorder.durations_ns()) == {
        **{stage: [10, 10] for stage in STAGES},
        "serialise": [5, 5],
        "reply": [5, 5],
        TOTAL: [90, 90],
    }


def test_a_reply_ends_behind_what_the_turn_still_does() -> None:
    clock = Clock()
    recorder = StageRecorder(clock)

    def work() -> None:
        clock.now_ns = 80
        recorder.answered(request(0, 10))
        # As the connections do that have something to write.
        turn_end(asyncio.get_running_loop())(lambda: setattr(clock, "now_ns", 200))

    record(recorder, work)
    assert quantiles_ns(recorder.durations_ns())["reply"] == [120, 120]


def test_quantiles_are_of_each_stage_by_itself() -> None:
    clock = Clock()
    recorder = StageRecorder(clock)

    def work() -> None:
        for step in range(1, 101):
            clock.now_ns = 8 * step
            recorder.answered(request(0, step))

    record(recorder, work)
    assert quantiles_ns(recorder.durations_ns(), (0.0, 0.5, 0.99, 1.0))["decide"] == [1, 51, 100, 100]


def test_what_was_not_executed_has_no_stages() -> None:
    recorder = StageRecorder(Clock())
    record(recorder, lambda: recorder.answered(Stages(0, 1)))
    assert quantiles_ns(recorder.durations_ns()) == {}
