"""One behaviour of the controller a test."""

from __future__ import annotations

import pytest

from clockwork_triton.controller.actions import Action, ActionKind, Outcome, Status
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.specs import Estimate
from tests.controller.world import MS, RESNET50, World

SECOND = 1000 * MS


def warm(world: World, *models: int) -> None:
    """Loads the models."""
    for model in models:
        assert world.ask(model, None)
        world.run(50 * MS)
    world.actions.clear()


def small_world(models: int = 2, **options: int) -> World:
    world = World(options=Options(**options))
    world.join()
    for model in range(models):
        world.add(model)
    return world


def test_a_cold_model_costs_one_load() -> None:
    world = small_world()
    request = world.ask(0)
    world.run(50 * MS)
    assert world.outcome(request) is Outcome.OK
    assert [action.kind for action in world.actions] == [ActionKind.LOAD, ActionKind.INFER]
    assert world.answers[request][1] < 13 * MS


def test_a_cold_request_that_cannot_wait_for_the_load_is_refused_at_once() -> None:
    world = small_world()
    request = world.ask(0, 10 * MS)
    assert world.answers[request] == (Outcome.REFUSED, 0)
    assert [action.kind for action in world.actions] == [ActionKind.LOAD], "for others like it"
    world.run(50 * MS)
    assert world.outcome(world.ask(0, 10 * MS)) is None
    assert world.outcome(world.ask(1, 1000)) is Outcome.REFUSED
    assert len(world.sent(ActionKind.LOAD)) == 1, "no LOAD would have helped the last"


def test_waiting_requests_are_joined_in_a_batch() -> None:
    world = small_world()
    warm(world, 0)
    requests = [world.ask(0) for _ in range(20)]
    world.run(100 * MS)
    assert {world.outcome(request) for request in requests} == {Outcome.OK}
    assert [action.batch_size for action in world.actions] == [1, 16, 2, 1]


def test_requests_of_several_rows_share_a_batch_and_are_padded_only_without_an_exact_fit() -> None:
    world = small_world()
    warm(world, 0)
    assert world.outcome(world.ask(0, rows=3)) is None
    assert world.actions[-1].batch_size == 4
    world.run(20 * MS)
    world.ask(0)
    world.ask(0)
    world.ask(0, rows=3)
    world.ask(0, rows=5)
    world.run(100 * MS)
    assert [action.batch_size for action in world.actions[1:]] == [1, 4, 8]


def test_a_request_whose_turn_cannot_come_in_time_is_refused_when_that_is_certain() -> None:
    world = small_world()
    warm(world, 0, 1)
    for _ in range(16):
        world.ask(0, None)
    blocked = world.ask(1, 20 * MS)
    world.run(100 * MS)
    assert world.outcome(blocked) is Outcome.OK
    late = [world.ask(1, 12 * MS) for _ in range(40)]
    begin = world.now_ns
    world.run(100 * MS)
    refused = [
        world.answers[request][1] - begin for request in late if world.outcome(request) is Outcome.REFUSED
    ]
    assert refused
    assert max(refused) <= 12 * MS - RESNET50.infer_ns[1] - world.options.buffer_ns
    served = [request for request in late if world.outcome(request) is Outcome.OK]
    assert max(world.answers[request][1] for request in served) - begin <= 12 * MS


def test_priority_levels_go_first_across_models() -> None:
    world = small_world(3)
    warm(world, 0, 1, 2)
    for _ in range(2):
        world.ask(0, 500 * MS)
    low = world.ask(2, 50 * MS)
    second = world.ask(1, 400 * MS, priority=2)
    first = world.ask(0, 500 * MS, priority=1)
    world.run(100 * MS)
    times = [world.answers[request][1] for request in (first, second, low)]
    assert times[0] < times[1] < times[2]


def test_a_full_device_unloads_the_least_recently_used() -> None:
    world = World()
    world.join(pages=21)
    for model in range(4):
        world.add(model)
    warm(world, 0, 1, 2)
    warm(world, 0)
    world.ask(3)
    world.run(50 * MS)
    assert [(action.kind, action.model_id) for action in world.actions] == [
        (ActionKind.UNLOAD, 1),
        (ActionKind.LOAD, 3),
        (ActionKind.INFER, 3),
    ]
    assert world.controller.pages_used(0) == 21


def test_a_model_larger_than_the_device_fails() -> None:
    world = World()
    world.join(pages=5)
    world.add(0)
    request = world.ask(0)
    assert world.outcome(request) is Outcome.FAILED
    assert "larger" in world.messages[request]


def test_a_lost_worker_costs_a_request_one_more_try_and_then_an_answer() -> None:
    world = small_world()
    world.join(1)
    warm(world, 0)
    holder = next(iter(view.worker_id for view in world.controller.snapshot().models[0].replicas))
    request = world.ask(0, SECOND)
    assert world.actions[-1].worker_id == holder
    world.lose(holder)
    assert world.outcome(request) is None
    world.run(5 * MS)
    world.lose(1 - holder)
    assert world.outcome(request) is None, "it was only being loaded for"
    world.join(0)
    world.run(11 * MS)
    assert world.actions[-1].kind is ActionKind.INFER
    world.lose(0)
    assert world.outcome(request) is Outcome.WORKER_LOST


def test_without_a_worker_requests_wait_as_long_as_they_can() -> None:
    world = World()
    world.add(0)
    hurried = world.ask(0, 50 * MS)
    patient = world.ask(0, None)
    world.run(100 * MS)
    assert world.answers[hurried][0] is Outcome.REFUSED
    assert world.answers[hurried][1] < 38 * MS
    world.run(40 * SECOND)
    assert world.outcome(patient) is Outcome.WORKER_LOST
    assert world.answers[patient][1] == world.options.orphan_ns
    saved = world.ask(0, None)
    world.join()
    world.run(SECOND)
    assert world.outcome(saved) is Outcome.OK


def test_a_cancelled_request_is_answered_once_and_a_dispatched_one_runs() -> None:
    world = small_world()
    request = world.ask(0)
    world.cancel(request)
    assert world.outcome(request) is Outcome.CANCELLED
    warm(world, 0)
    running = world.ask(0)
    world.cancel(running)
    world.cancel(999)
    world.run(50 * MS)
    assert world.outcome(running) is Outcome.OK


def test_a_slow_device_is_noticed_within_ten_actions() -> None:
    world = World(durations=lambda action, planned: 3 * RESNET50.infer_ns[1])
    world.join()
    world.add(0)
    for _ in range(10):
        world.ask(0)
        world.run(50 * MS)
    assert world.outcome(world.ask(0, 9 * MS)) is Outcome.REFUSED
    request = world.ask(0, 13 * MS)
    world.run(50 * MS)
    assert world.outcome(request) is Outcome.OK
    assert world.answers[request][1] - world.requests[request].arrival_ns <= 13 * MS


def test_a_device_error_is_tried_once_more() -> None:
    world = small_world()
    warm(world, 0)
    world.faults[3] = Status.DEVICE_ERROR
    retried = world.ask(0)
    world.run(50 * MS)
    assert world.outcome(retried) is Outcome.OK
    world.faults.update({5: Status.DEVICE_ERROR, 6: Status.DEVICE_ERROR})
    failed = world.ask(0)
    world.run(50 * MS)
    assert world.outcome(failed) is Outcome.FAILED


def test_a_worker_that_has_lost_a_model_is_believed() -> None:
    world = small_world()
    warm(world, 0)
    world.faults[3] = Status.NOT_LOADED
    world.devices[0].pages.clear()
    request = world.ask(0)
    world.run(50 * MS)
    assert world.outcome(request) is Outcome.OK
    assert [action.kind for action in world.actions] == [ActionKind.INFER, ActionKind.LOAD, ActionKind.INFER]


def test_a_retired_model_serves_its_requests_and_leaves() -> None:
    world = small_world()
    request = world.ask(0)
    world.retire(0)
    world.run(50 * MS)
    assert world.outcome(request) is Outcome.OK
    assert world.gone == [0]
    assert world.actions[-1].kind is ActionKind.UNLOAD
    assert world.controller.pages_used(0) == 0
    world.retire(1)
    assert world.gone == [0, 1]


def test_a_calibration_measures_what_it_was_asked_to() -> None:
    world = World(durations=lambda action, planned: 1000 * (action.batch_size or 7))
    world.join()
    world.add(0, None)
    world.calibrate(0, Estimate(10 * MS, {1: 10 * MS, 4: 40 * MS}), 3, {1: 2, 4: 5})
    world.run(SECOND)
    (measured,) = world.calibrated
    assert measured.load_ns == (7000,) * 3
    assert measured.infer_ns == {1: (1000,) * 2, 4: (4000,) * 5}
    assert not measured.error
    world.add(0, Estimate(7000, {1: 1000, 4: 4000}))
    request = world.ask(0, MS + 200_000)
    world.run(MS * 2)
    assert world.outcome(request) is Outcome.OK
    assert len(world.sent(ActionKind.LOAD)) == 3, "it has stayed resident"


@pytest.mark.parametrize("mhz", [0, 1410])
def test_a_calibration_tells_at_which_clock_it_was_done(mhz: int) -> None:
    world = World()
    world.join()
    world.devices[0].clock_mhz = mhz
    world.add(0, None)
    world.calibrate(0, RESNET50, 1, {1: 3})
    world.run(SECOND)
    assert world.calibrated[0].clock_mhz == mhz


def test_a_clock_that_a_load_told_of_is_that_of_the_calibration() -> None:
    """It is told once for each look, and nobody may have looked since."""

    def durations(action: Action, planned_ns: int) -> int:
        world.devices[0].clock_mhz = 1410 if action.kind is ActionKind.LOAD else 0
        return planned_ns

    world = World(durations=durations)
    world.join()
    world.add(0, None)
    world.calibrate(0, RESNET50, 1, {1: 3})
    world.run(SECOND)
    assert world.calibrated[0].clock_mhz == 1410


def test_a_calibration_makes_progress_beside_requests_that_never_leave_a_gap() -> None:
    world = small_world()
    warm(world, 0)
    world.add(5, None)
    world.calibrate(5, RESNET50, 1, {1: 3})
    for _ in range(2000):
        world.ask(0)
        world.run(MS // 2)
        if world.calibrated:
            break
    assert len(world.calibrated[0].infer_ns[1]) == 3


def test_a_worker_that_does_not_answer_is_stuck_until_it_does() -> None:
    world = small_world()
    warm(world, 0)
    held = world.ask(0, 300 * MS)
    patient = world.ask(0, None)
    world.devices[0].mute = True
    world.run(SECOND)
    later = world.ask(0, 5 * SECOND)
    world.run(SECOND)
    assert world.stuck == [0]
    assert world.outcome(held) is Outcome.REFUSED
    assert world.outcome(later) is None
    world.devices[0].mute = False
    world.run(SECOND)
    assert world.outcome(later) is Outcome.OK
    assert world.outcome(patient) is Outcome.OK


def test_an_action_refused_as_too_late_is_planned_again() -> None:
    slow = iter([30 * MS])
    world = World(durations=lambda action, planned: next(slow, planned) if action.action_id == 3 else planned)
    world.join()
    world.add(0)
    warm(world, 0)
    first = world.ask(0)
    second = world.ask(0)
    world.run(200 * MS)
    assert world.outcome(first) is Outcome.OK
    assert world.outcome(second) is Outcome.OK
    assert world.controller.snapshot().counters["too_late"] == 1


def test_waiting_requests_are_counted_by_priority_level() -> None:
    world = small_world()
    for priority in (0, 1, 1, 3):
        world.ask(0, None, priority=priority)
    queued = world.controller.queued
    assert [queued(0, priority) for priority in (0, 1, 2, 3)] == [1, 2, 0, 1]
    assert queued(99, 0) == 0
    world.run(200 * MS)
    assert [queued(0, priority) for priority in (0, 1, 2, 3)] == [0, 0, 0, 0]


def test_models_bound_to_workers_do_not_stand_in_the_way_of_others() -> None:
    """Of many models, each bound to a worker of its own and none in any hurry, each is loaded there."""
    count = 30
    world = World()
    for number in range(count):
        world.join(number)
    for number in range(count):
        world.add(number, workers=frozenset({number}))
    requests = [world.ask(number, None) for number in reversed(range(count))]
    world.run(200 * MS)
    assert all(world.outcome(request) is Outcome.OK for request in requests)
    loads = world.sent(ActionKind.LOAD)
    assert sorted((action.model_id, action.worker_id) for action in loads) == [(n, n) for n in range(count)]


def test_a_load_may_start_as_late_as_it_is_of_use() -> None:
    world = small_world()
    world.ask(0, 100 * MS)
    (load,) = world.sent(ActionKind.LOAD)
    needed_ns = RESNET50.load_ns + RESNET50.infer_ns[1]
    assert 100 * MS - needed_ns - 4 * MS < load.latest_ns < 100 * MS - needed_ns
    world.run(200 * MS)
    world.ask(1, None)
    assert world.sent(ActionKind.LOAD)[-1].latest_ns == FAR, "nobody waits with a deadline"


def test_a_model_that_ends_its_worker_again_and_again_is_left_alone() -> None:
    world = small_world()
    warm(world, 1)
    lost = []
    for _ in range(2):
        lost.append(world.ask(0, None))
        world.run(10 * MS)
        world.lose(0)
        world.join()
        world.run(10 * MS)
        world.lose(0)
        world.join()
    assert world.outcome(lost[0]) is Outcome.WORKER_LOST
    assert world.outcome(lost[1]) is Outcome.WORKER_LOST
    barred, other = world.ask(0, None), world.ask(1, None)
    world.run(50 * MS)
    assert world.outcome(barred) is Outcome.WORKER_LOST
    assert world.answers[barred][1] == world.requests[barred].arrival_ns
    assert world.outcome(other) is Outcome.OK
    world.run(60 * SECOND)
    tried = world.ask(0, None)
    world.run(50 * MS)
    assert world.outcome(tried) is Outcome.OK


def test_a_model_whose_load_ends_its_worker_is_left_alone_too() -> None:
    world = small_world()
    warm(world, 1)
    for _ in range(3):
        world.ask(0, None)
        world.run(4 * MS)
        world.lose(0)
        world.join()
    barred, other = world.ask(0, None), world.ask(1, None)
    world.run(50 * MS)
    assert world.outcome(barred) is Outcome.WORKER_LOST
    assert world.outcome(other) is Outcome.OK


def test_a_load_waits_for_the_most_patient_of_any_level() -> None:
    world = small_world()
    urgent = world.ask(0, 60 * MS)
    patient = world.ask(0, 500 * MS, priority=1)
    world.run(50 * MS)
    assert world.outcome(urgent) is Outcome.OK
    assert world.outcome(patient) is Outcome.OK
    model = world.controller._state.models[0]
    for place, (slo_ms, priority) in enumerate(((60, 0), (500, 1), (40, 0), (400, 1))):
        due_ns, rank = slo_ms * MS, 0 if priority else 1
        model.queue.add(Pending(place, model, 1, 0, 0, due_ns, due_ns, rank, place))
    assert model.queue.most_patient().due_ns == 500 * MS
