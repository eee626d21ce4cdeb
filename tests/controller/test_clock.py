"""Estimates follow the clock of the device they are for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from clockwork_triton.controller.actions import Outcome
from clockwork_triton.controller.estimates import WINDOW, DurationEstimate
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.specs import Estimate, ModelSpec, WorkerSpec
from clockwork_triton.controller.worker_state import CLOCK_KEPT_NS, WorkerState
from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.cuda.clocks import ClockTracker
from tests.controller.world import MS, RESNET50, World
from tests.test_nvml import library

KIND = "gpu"
ESTIMATE = Estimate(5_000_000, {1: 1_000_000, 4: 3_000_000})


def test_an_estimate_is_scaled_with_all_it_has_learnt() -> None:
    estimate = DurationEstimate(1000)
    for measured in (900, 1100, 1000):
        estimate.add(measured)
    estimate.scale(2.0, FAR)
    assert (estimate.expected_ns, estimate.bound_ns) == (2000, 2200)
    estimate.scale(1e-9, FAR)
    assert (estimate.expected_ns, estimate.bound_ns) == (1, 1)


def test_what_was_measured_since_the_clock_was_last_seen_is_left_alone() -> None:
    """It shows the new clock already."""
    estimate = DurationEstimate(1000)
    for number in range(WINDOW):
        estimate.add(1000 if number < 4 else 2000, number)
    estimate.scale(2.0, 3)
    assert (estimate.expected_ns, estimate.bound_ns) == (2000, 2000)


@pytest.fixture
def replica() -> Replica:
    worker = WorkerState(WorkerSpec(0, KIND, 8, 4, True), 1)
    model = ModelState(ModelSpec(1, "m", (1,), {KIND: ESTIMATE}), 0)
    replica = worker.replicas[1] = Replica(model, worker, 0)
    replica.renew(ESTIMATE, model.sizes)
    return replica


def test_the_first_clock_is_that_of_a_profile_that_has_none(replica: Replica) -> None:
    replica.worker.clock(1500, 0)
    assert replica.bound_ns == [1_000_000, 3_000_000]


def test_a_profile_taken_at_another_clock_is_scaled_to_the_one_there_is(replica: Replica) -> None:
    profile = replace(ESTIMATE, clock_mhz=1800)
    replica.renew(profile, replica.model.sizes)
    assert replica.bound_ns == [1_000_000, 3_000_000]
    replica.worker.clock(1200, 0)
    assert replica.bound_ns == replica.model.typical_ns == [1_500_000, 4_500_000]
    replica.renew(profile, replica.model.sizes)
    assert replica.bound_ns == [1_500_000, 4_500_000]


def test_a_clock_changes_what_a_model_under_calibration_is_thought_to_take() -> None:
    worker = WorkerState(WorkerSpec(0, KIND, 8, 4, True), 1)
    model = ModelState(ModelSpec(1, "m", (1,), {}), 0)
    replica = worker.replicas[1] = Replica(model, worker, 0)
    replica.renew(ESTIMATE, (1, 4))
    worker.clock(1500, 0)
    worker.clock(1000, 0)
    assert replica.expected_ns == replica.bound_ns == [1_500_000, 4_500_000]
    assert model.typical_ns == []


def test_a_replica_that_is_not_there_does_not_say_how_fast_the_fastest_is(replica: Replica) -> None:
    holder = WorkerState(WorkerSpec(1, KIND, 8, 4, True), 2)
    held = holder.replicas[1] = Replica(replica.model, holder, 1)
    held.renew(ESTIMATE, replica.model.sizes)
    replica.model.resident[1] = held
    replica.model.holders_changed()
    for mhz in (1000, 2000):
        replica.worker.clock(mhz, 0)
    assert replica.bound_ns == [500_000, 1_500_000]
    assert replica.model.fastest_ns == [1_000_000, 3_000_000]
    for mhz in (1000, 2000):
        holder.clock(mhz, 0)
    assert replica.model.fastest_ns == [500_000, 1_500_000]


def test_a_slower_clock_lengthens_infers_and_leaves_loads(replica: Replica) -> None:
    replica.worker.clock(1500, 0)
    replica.worker.clock(1000, 0)
    assert replica.expected_ns == replica.bound_ns == [1_500_000, 4_500_000]
    assert replica.load.expected_ns == ESTIMATE.load_ns
    replica.worker.clock(1500, 0)
    assert replica.bound_ns == [1_000_000, 3_000_000]


def test_a_clock_that_is_seen_late_is_not_counted_twice(replica: Replica) -> None:
    """It fell after the look at 1, and the INFERs that follow show it before the look at 30 does."""
    replica.worker.clock(1500, 0)
    replica.ran(0, 1_000_000, 1)
    replica.worker.clock(1500, 1)
    for now_ns in range(2, 2 + WINDOW):
        replica.ran(0, 1_500_000, now_ns)
    replica.worker.clock(1000, 30)
    assert replica.bound_ns == [1_500_000, 4_500_000]


@pytest.mark.parametrize("mhz", [1500, 1490, 1510])
def test_noise_changes_nothing(replica: Replica, mhz: int) -> None:
    replica.worker.clock(1500, 0)
    replica.worker.clock(mhz, 0)
    assert replica.bound_ns == [1_000_000, 3_000_000]
    assert replica.worker.clock_mhz == 1500


def test_a_clock_that_is_forgotten_takes_back_what_it_changed(replica: Replica) -> None:
    replica.renew(replace(ESTIMATE, clock_mhz=1500), replica.model.sizes)
    replica.ran(0, 1_000_000, 1)
    replica.worker.clock(1000, 1)
    replica.ran(1, 4_500_000, 2)
    replica.worker.clock(750, 2)
    assert replica.bound_ns == [2_000_000, 6_000_000]
    replica.worker.forget_clock()
    assert replica.bound_ns == replica.expected_ns == [1_000_000, 3_000_000]
    replica.worker.clock(750, 10)
    assert replica.bound_ns == [2_000_000, 6_000_000], "it is followed again"


def test_what_was_measured_at_a_clock_that_nobody_saw_outlives_the_forgotten_one(replica: Replica) -> None:
    for mhz, now_ns in ((1500, 0), (750, 1)):
        replica.worker.clock(mhz, now_ns)
    for now_ns in range(2, 2 + WINDOW):
        replica.ran(0, 1_700_000, now_ns)
    replica.worker.forget_clock()
    assert replica.bound_ns == [1_700_000, 3_000_000]


def test_a_clock_that_was_never_seen_can_be_forgotten(replica: Replica) -> None:
    replica.worker.forget_clock()
    assert replica.bound_ns == [1_000_000, 3_000_000]


PROFILE = replace(RESNET50, clock_mhz=1980)
SLO_NS = 10 * MS
SECOND_NS = 1000 * MS


def _world(clock_mhz: int) -> World:
    """One device, which tells this clock, and a model with a profile of 1980 MHz."""
    world = World("adaptive")
    world.join()
    world.add(0, PROFILE)
    world.devices[0].clock_mhz = clock_mhz
    return world


def test_a_low_clock_is_forgotten_where_nothing_runs_so_that_requests_are_tried_again() -> None:
    world = _world(345)
    world.ask(0)
    world.run(SECOND_NS)
    assert world.outcome(world.ask(0, SLO_NS)) is Outcome.REFUSED
    world.run(CLOCK_KEPT_NS - SECOND_NS - 50 * MS)
    assert world.outcome(world.ask(0, MS)) is Outcome.REFUSED
    world.run(100 * MS)
    world.devices[0].clock_mhz = 0
    tried = world.ask(0, SLO_NS)
    world.run(SLO_NS)
    assert world.outcome(tried) is Outcome.OK


def test_a_low_clock_that_is_seen_again_and_again_stays() -> None:
    world = _world(345)
    for _ in range(20):
        world.ask(0)
        world.run(SECOND_NS)
    assert world.outcome(world.ask(0, SLO_NS)) is Outcome.REFUSED


def test_a_worker_that_is_lost_takes_its_clock_with_it() -> None:
    """The estimates of its successor are none of the old one's business."""
    world = _world(990)
    world.ask(0)
    world.run(SECOND_NS)
    world.lose(0)
    world.join()
    world.devices[0].clock_mhz = 495
    world.ask(0)
    world.run(CLOCK_KEPT_NS - SECOND_NS // 2)
    model = world.controller._state.models[0]
    assert model.typical_ns[0] == 4 * RESNET50.infer_ns[1]
    world.run(SECOND_NS)
    assert model.typical_ns[0] == RESNET50.infer_ns[1]


RAMP_NS = 30 * MS


def test_a_gpu_that_wakes_is_not_taken_for_a_slow_one() -> None:
    """NVML is asked while it still raises its clock, every time that work comes after a pause."""
    pynvml = library()
    tracker = ClockTracker(Nvml(pynvml), "0000:17:00.0")
    began_ns = [0]

    def clock_mhz(*_: object) -> int:
        return 345 if world.now_ns - began_ns[0] < RAMP_NS else 1980

    pynvml.nvmlDeviceGetClockInfo = clock_mhz
    times_ns = {0: RESNET50.load_ns, **RESNET50.infer_ns}
    world = World("adaptive", durations=lambda action, planned: times_ns[action.batch_size])
    world.join()
    world.add(0, PROFILE)
    world.ask(0)
    world.run(SECOND_NS)
    for _ in range(10):
        began_ns[0] = world.now_ns
        requests = []
        for step in range(100):
            if step % 20 == 1:
                tracker.look(working=True)
            world.devices[0].clock_mhz = tracker.take()
            requests.append(world.ask(0, SLO_NS))
            world.run(10 * MS)
        assert all(world.outcome(request) is Outcome.OK for request in requests)
        for _ in range(10):
            tracker.look(working=False)
            world.run(200 * MS)
