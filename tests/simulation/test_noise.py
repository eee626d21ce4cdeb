from __future__ import annotations

from statistics import median

import pytest

from clockwork_triton.controller.actions import Action, ActionKind
from clockwork_triton.controller.specs import Estimate
from clockwork_triton.simulation.moments import NEAR_NS, Moments
from clockwork_triton.simulation.noise import Noise, Recorded

ESTIMATES = {3: Estimate(500_000, {1: 1_000_000, 2: 1_500_000})}


def action(kind: ActionKind, batch_size: int = 0) -> Action:
    return Action(1, kind, 0, 3, 0, 0, 0, batch_size)


def test_without_noise_the_profile_is_exact() -> None:
    durations = Noise().durations(ESTIMATES, "seed")
    assert durations(action(ActionKind.INFER, 2), 0) == 1_500_000
    assert durations(action(ActionKind.LOAD), 0) == 500_000


def test_noise_has_its_median_its_tail_and_its_outliers() -> None:
    durations = Noise(1.3, 100, 10.0).durations(ESTIMATES, "seed")
    drawn = sorted(durations(action(ActionKind.INFER, 1), 0) for _ in range(20_000))
    assert median(drawn) == pytest.approx(1_000_000, rel=0.01)
    usual = [each for each in drawn if each < 5_000_000]
    assert usual[int(0.99 * len(usual))] == pytest.approx(1_300_000, rel=0.02)
    assert len(drawn) - len(usual) == pytest.approx(200, rel=0.25)


def test_recorded_durations_are_drawn_and_the_profile_stands_in() -> None:
    measured = {(3, 1): Moments([(0, 7), (10, 9), (10 * NEAR_NS, 500)]), (3, 0): Moments([(0, 5)])}
    durations = Recorded(measured).durations(ESTIMATES, "seed")

    def drawn(time_ns: int) -> set[int]:
        return {durations(action(ActionKind.INFER, 1), time_ns) for _ in range(100)}

    assert drawn(0) == {7, 9}
    assert drawn(NEAR_NS + 5) == {9}
    assert drawn(10 * NEAR_NS) == {500}
    assert drawn(5 * NEAR_NS) == {7, 9, 500}
    assert durations(action(ActionKind.LOAD), 0) == 5
    assert durations(action(ActionKind.INFER, 2), 0) == 1_500_000
