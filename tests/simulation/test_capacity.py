from __future__ import annotations

from dataclasses import replace

from clockwork_triton.simulation.capacity import Capacity, Trial
from clockwork_triton.simulation.workloads import FixedSlo, Mix, Poisson
from tests.simulation.worlds import MS, steady


def test_the_fewest_devices_and_the_lowest_slo_are_just_enough() -> None:
    trials: list[Trial] = []
    experiment = steady(1500, 100, 8, 2, resident=True)
    capacity = Capacity(experiment, "adaptive", 0.99, trials.append)
    devices = capacity.fewest_devices()
    assert devices is not None
    tried = {trial.devices: trial.attainment for trial in trials}
    assert tried[devices] >= 0.99 > tried[devices - 1]
    trials.clear()
    lowest_ns = Capacity(experiment.with_devices(4), "adaptive", 0.99, trials.append).lowest_slo_ns()
    assert lowest_ns is not None
    assert 4 * MS < lowest_ns < 100 * MS
    by_slo = {trial.slo_ns: trial.attainment for trial in trials}
    assert by_slo[lowest_ns] >= 0.99
    below = max(slo_ns for slo_ns in by_slo if slo_ns is not None and slo_ns < lowest_ns)
    assert by_slo[below] < 0.99
    assert below > 0.95 * lowest_ns


def test_what_no_number_of_devices_can_do_is_said() -> None:
    impossible = replace(
        steady(seconds=0.1), workloads=[Poisson(Mix([0]), 50, FixedSlo(MS))], duration_ns=100 * MS
    )
    assert Capacity(impossible, "adaptive", 0.99, lambda trial: None).fewest_devices() is None
