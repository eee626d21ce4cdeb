"""What slows down a whole worker is learnt from whatever it runs."""

from __future__ import annotations

from random import Random

from clockwork_triton.controller.actions import Action, ActionKind, Outcome
from clockwork_triton.controller.pace import BRIEF_NS, FORGET_NS, MOST, Pace
from tests.controller.world import MS, RESNET50, World

USUAL_NS = 10 * BRIEF_NS


class SlowWhileTold:
    """INFERs take `factor` times as long as planned."""

    def __init__(self) -> None:
        self.factor = 1.0

    def __call__(self, action: Action, planned_ns: int) -> int:
        return round(planned_ns * self.factor) if action.kind is ActionKind.INFER else planned_ns


def paced(*factors: float) -> Pace:
    pace = Pace()
    for factor in factors:
        pace.add(round(factor * USUAL_NS), USUAL_NS, 0)
    return pace


def test_what_one_model_has_met_tells_of_the_others() -> None:
    durations = SlowWhileTold()
    world = World("adaptive", durations=durations)
    world.join()
    for model in (0, 1):
        world.add(model)
        world.ask(model)
        world.run(50 * MS)
    twice_ns = 2 * RESNET50.infer_ns[1]
    durations.factor = 2.0
    for _ in range(3):
        world.ask(0, 50 * MS)
        world.run(20 * MS)
    assert world.outcome(world.ask(1, twice_ns - MS)) is Outcome.REFUSED
    served = world.ask(1, twice_ns + 3 * MS)
    world.run(20 * MS)
    assert world.outcome(served) is Outcome.OK
    assert world.answers[served][1] <= world.requests[served].arrival_ns + twice_ns + 3 * MS
    durations.factor = 1.0
    world.run(2 * FORGET_NS)
    hurried = world.ask(1, twice_ns - MS)
    world.run(20 * MS)
    assert world.outcome(hurried) is Outcome.OK, "what is long ago is forgotten"


def test_one_accident_or_the_usual_noise_says_nothing() -> None:
    assert paced(1, 1, 10, 1, 1).stretch == 1.0
    rng = Random(1)
    assert paced(*(rng.uniform(0.7, 1.4) for _ in range(200))).stretch == 1.0


def test_a_slow_phase_is_reckoned_by_its_slowest() -> None:
    assert paced(1.6, 1, 1.9, 1, 1.8).stretch == 2.0
    assert paced(9, 9).stretch == MOST


def test_it_is_forgotten_in_time() -> None:
    pace = paced(2, 2)
    assert not pace.forget(FORGET_NS - 1)
    assert pace.forget(FORGET_NS)
    assert pace.stretch == 1.0


def test_short_infers_say_nothing_of_others() -> None:
    pace = Pace()
    for _ in range(3):
        assert not pace.add(100 * BRIEF_NS, BRIEF_NS - 1, 0)
    assert pace.stretch == 1.0
