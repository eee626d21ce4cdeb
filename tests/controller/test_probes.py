"""Estimates that keep requests from being served are measured again."""

from __future__ import annotations

from clockwork_triton.controller.actions import Action, ActionKind, Outcome
from clockwork_triton.controller.specs import Estimate
from tests.controller.world import MS, RESNET50, World

SECOND = 1000 * MS


def probes(world: World) -> list[Action]:
    return [action for action in world.sent(ActionKind.INFER) if not action.request_ids]


def served(world: World, seconds: int, slo_ns: int, model: int = 0) -> float:
    """Asks ten times a second; the part of the last second's requests that was answered in time."""
    requests: list[int] = []
    for _ in range(10 * seconds):
        requests.append(world.ask(model, slo_ns))
        world.run(100 * MS)
    return sum(world.outcome(request) is Outcome.OK for request in requests[-10:]) / 10


def test_a_pessimistic_profile_does_not_lock_a_model_out() -> None:
    world = World("adaptive", durations=lambda action, planned: 4 * MS)
    world.join()
    world.add(0, Estimate(8 * MS, {1: 60 * MS, 2: 90 * MS}))
    assert served(world, 1, 30 * MS) == 0
    assert served(world, 2, 30 * MS) == 1
    for action in world.sent(ActionKind.INFER):
        assert action.expected_ns <= 30 * MS or not action.request_ids, "no request was put at risk"


def test_a_slow_spell_does_not_lock_a_model_out() -> None:
    speed = [1]
    world = World("adaptive", durations=lambda action, planned: speed[0] * RESNET50.infer_ns[1])
    world.join()
    world.add(0)
    world.ask(0)
    world.run(SECOND)
    speed[0] = 10
    for _ in range(12):
        world.ask(0, 200 * MS)
        world.run(SECOND // 4)
    assert world.outcome(world.ask(0, 20 * MS)) is Outcome.REFUSED
    speed[0] = 1
    assert served(world, 3, 20 * MS) == 1


def test_right_estimates_are_doubted_less_and_less() -> None:
    world = World("adaptive")
    world.join()
    world.add(0)
    assert served(world, 100, 3 * MS) == 0
    assert 4 <= len(probes(world)) <= 7
    assert all(action.batch_size == 1 for action in probes(world))


def test_absurd_budgets_are_no_reason_to_doubt() -> None:
    world = World("adaptive")
    world.join()
    world.add(0)
    assert served(world, 20, 1000) == 0
    assert world.actions == []


def test_a_batch_size_that_was_slow_once_is_used_again() -> None:
    """Under overload, since otherwise it does not matter."""
    times = {0: RESNET50.load_ns, **RESNET50.infer_ns, 16: 300 * MS}
    world = World("adaptive", durations=lambda action, planned: times[action.batch_size])
    world.join()
    world.add(0)

    def overload(seconds: int) -> set[int]:
        before = len(world.actions)
        for _ in range(seconds * 1000):
            world.ask(0, 150 * MS)
            world.ask(0, 150 * MS)
            world.run(MS)
        return {action.batch_size for action in world.actions[before:] if action.request_ids}

    overload(2)
    assert 16 not in overload(2)
    times[16] = RESNET50.infer_ns[16]
    overload(8)
    assert 16 in overload(1)
