"""What holds for every sequence of events."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from clockwork_triton.controller.actions import Action, Outcome, Status
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.controller.specs import Estimate
from tests.controller.world import MS, World

PAGES = 12
SEGMENTS = [(3,), (2, 2), (5,), (1, 1, 1), (4, 4), (PAGES + 1,)]
ESTIMATE = Estimate(4 * MS, {1: 2 * MS, 2: 3 * MS, 4: 5 * MS, 8: 9 * MS})
FAULTS = [Status.TOO_LATE, Status.NOT_LOADED, Status.DEVICE_ERROR, Status.INVALID_ACTION]


class ControllerMachine(RuleBasedStateMachine):
    """A world of small devices in which anything may happen. The world itself checks that no request is
    answered twice, that nothing is dispatched that cannot end in time by the estimates, that memory is never
    used twice and slots never exceeded."""

    policy = "clockwork"

    def __init__(self) -> None:
        super().__init__()
        self.noise = 100
        self.world = World(self.policy, durations=self._duration)

    def _duration(self, action: Action, planned_ns: int) -> int:
        return planned_ns * self.noise // 100

    @initialize(overlaps=st.booleans(), slots=st.integers(1, 3))
    def begin(self, overlaps: bool, slots: int) -> None:
        self.overlaps, self.slots = overlaps, slots
        self.world.join(0, PAGES, slots, overlaps)
        for model in range(3):
            self.world.add(model, ESTIMATE, SEGMENTS[model])

    @rule(
        model=st.integers(0, 5),
        slo_ms=st.none() | st.integers(0, 200),
        rows=st.integers(1, 9),
        priority=st.integers(0, 2),
        copies=st.integers(1, 6),
    )
    def ask(self, model: int, slo_ms: int | None, rows: int, priority: int, copies: int) -> None:
        for _ in range(copies):
            self.world.ask(model, None if slo_ms is None else slo_ms * MS, rows if rows < 5 else 1, priority)

    @rule(back=st.integers(0, 5))
    def cancel(self, back: int) -> None:
        if len(self.world.requests) > back:
            self.world.cancel(len(self.world.requests) - back)

    @rule(tenths=st.integers(0, 500))
    def wait(self, tenths: int) -> None:
        self.world.run(tenths * MS // 10)

    @rule(noise=st.sampled_from([50, 100, 105, 130, 300, 1500]))
    def change_speed(self, noise: int) -> None:
        self.noise = noise

    @precondition(lambda self: len(self.world.devices) < 3)
    @rule(worker=st.integers(0, 2))
    def join(self, worker: int) -> None:
        if worker not in self.world.devices:
            self.world.join(worker, PAGES, self.slots, self.overlaps)

    @precondition(lambda self: self.world.devices)
    @rule(worker=st.integers(0, 2))
    def lose(self, worker: int) -> None:
        if worker in self.world.devices:
            self.world.lose(worker)

    @rule(worker=st.integers(0, 2), mute=st.booleans())
    def mute(self, worker: int, mute: bool) -> None:
        if worker in self.world.devices:
            self.world.devices[worker].mute = mute

    @rule(fault=st.sampled_from(FAULTS), after=st.integers(1, 4))
    def fault(self, fault: Status, after: int) -> None:
        self.world.faults[len(self.world.actions) + after] = fault

    @rule(model=st.integers(0, 5))
    def add_model(self, model: int) -> None:
        if model in self.world.gone:
            self.world.gone.remove(model)
        if model not in self.world.models:
            self.world.add(model, ESTIMATE, SEGMENTS[model])

    @rule(model=st.integers(0, 5))
    def retire(self, model: int) -> None:
        if model in self.world.models and model not in self.world.gone:
            self.world.retire(model)

    @rule(model=st.integers(0, 4), loads=st.integers(0, 2))
    def calibrate(self, model: int, loads: int) -> None:
        if model in self.world.models and model not in self.world.gone:
            self.world.calibrate(model, ESTIMATE, loads, {1: 1, 4: 2})

    @invariant()
    def queues_agree_with_answers(self) -> None:
        snapshot = self.world.controller.snapshot()
        waiting = len(self.world.requests) - len(self.world.answers)
        counters = snapshot.counters
        answered = sum(counters[outcome.name.lower()] for outcome in Outcome)
        assert counters["requests"] - answered == waiting
        assert sum(view.queued_requests for view in snapshot.models) <= waiting

    @invariant()
    def pages_agree_with_devices(self) -> None:
        for view in self.world.controller.snapshot().workers:
            assert view.pages_used <= view.pages
            device = self.world.devices[view.worker_id]
            if not device.outstanding:
                assert sum(map(len, device.pages.values())) == view.pages_used

    def teardown(self) -> None:
        """Every request is answered in the end, and the same events give the same commands."""
        world = self.world
        for device in world.devices.values():
            device.mute = False
        world.run(200_000 * MS)
        assert world.answers.keys() == world.requests.keys()
        again = Controller(POLICIES[self.policy](), world.options)
        for now_ns, event, commands in world.script:
            assert tuple(again.handle(event, now_ns)) == commands


def machine(policy: str) -> type[ControllerMachine]:
    return type(f"{policy.capitalize()}Machine", (ControllerMachine,), {"policy": policy})


@pytest.mark.parametrize("policy", POLICIES)
def test_a_policy_keeps_the_books_right(policy: str) -> None:
    run_state_machine_as_test(
        machine(policy),
        settings=settings(
            max_examples=50 if policy == "adaptive" else 25,
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
