from __future__ import annotations

import itertools
from collections import Counter
from random import Random

import pytest

from clockwork_triton.simulation.workloads import (
    SECOND,
    Bursty,
    ClosedLoop,
    FixedSlo,
    Mix,
    Poisson,
    RampSlo,
    Timestamps,
    with_slo,
)

SLO = FixedSlo(1_000_000)


def test_poisson_has_its_rate_and_its_mix() -> None:
    load = Poisson(Mix([3, 4], [3.0, 1.0]), 1000, SLO, priority=2, rows=5, begin_ns=SECOND)
    arrivals = list(load.arrivals(Random(1), 11 * SECOND))
    times = [arrival.time_ns for arrival in arrivals]
    assert times == sorted(times)
    assert times[0] >= SECOND
    assert times[-1] < 11 * SECOND
    assert len(arrivals) == pytest.approx(10_000, rel=0.04)
    models = Counter(arrival.model_id for arrival in arrivals)
    assert models[3] / models[4] == pytest.approx(3, rel=0.1)
    assert {(arrival.slo_ns, arrival.priority, arrival.rows) for arrival in arrivals} == {(1_000_000, 2, 5)}


def test_poisson_may_grow_step_by_step() -> None:
    load = Poisson(Mix([0]), 100, SLO, growth=2.0, step_ns=10 * SECOND)
    steps = Counter(arrival.time_ns // (10 * SECOND) for arrival in load.arrivals(Random(1), 30 * SECOND))
    assert [steps[0], steps[1], steps[2]] == pytest.approx([1000, 2000, 4000], rel=0.1)


def test_bursts_come_and_go() -> None:
    load = Bursty(Mix([0]), 1000, SECOND // 10, SECOND * 9 // 10, SLO)
    times = [arrival.time_ns for arrival in load.arrivals(Random(3), 300 * SECOND)]
    assert times == sorted(times)
    assert len(times) / 300 == pytest.approx(100, rel=0.15), "on for a tenth of the time"
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert sum(gap > SECOND // 10 for gap in gaps) == pytest.approx(300, rel=0.2)


def test_timestamps_are_what_they_are() -> None:
    load = Timestamps([1, 5, 9], [2, 0, 1], SLO)
    assert [(a.time_ns, a.model_id) for a in load.arrivals(Random(0), 9)] == [(1, 2), (5, 0)]


def test_a_ramp_multiplies_the_slo_at_each_step() -> None:
    ramp = RampSlo(100, 1.5, 10)
    assert [ramp.at(time) for time in (0, 9, 10, 20)] == [100, 100, 150, 225]


def test_an_slo_can_be_replaced() -> None:
    loads = [Poisson(Mix([0]), 100, SLO), ClosedLoop(0, 3, FixedSlo(None))]
    opened, closed = (with_slo(load, 77) for load in loads)
    assert isinstance(closed, ClosedLoop)
    assert closed.ask(0).slo_ns == 77
    assert closed.concurrency == 3
    assert not isinstance(opened, ClosedLoop)
    assert {arrival.slo_ns for arrival in opened.arrivals(Random(1), SECOND)} == {77}
