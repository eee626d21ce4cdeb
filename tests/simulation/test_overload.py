"""Much more than a device can do, over a network and with durations that cannot be relied upon."""

from __future__ import annotations

import pytest

from clockwork_triton.simulation.experiment import Runner
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.noise import Noise
from clockwork_triton.simulation.report import report
from tests.simulation.worlds import MS, steady

CAPACITY = 736
SHAKY = {"network": Network(MS // 10, 8 * MS), "noise": Noise(1.3, 1000)}


@pytest.mark.parametrize("models", [1, 4])
def test_what_is_answered_is_in_time_and_the_rest_refused(models: int) -> None:
    found = report(Runner("adaptive").run(steady(3 * CAPACITY, 100, models, 10, **SHAKY)))
    assert found["in_time_of_answered"] >= 0.99
    assert found["goodput_rps"] >= 0.7 * CAPACITY
    assert found["failed"] == 0
    assert found["refused_actions"] <= 0.05 * sum(found["batches"].values())


def test_a_crowded_model_refuses_at_once_rather_than_at_the_deadline() -> None:
    run = Runner("adaptive").run(steady(3 * CAPACITY, 100, 1, 10, **SHAKY))
    assert report(run)["latency_ms"]["p50"] < 90
    delays = sorted(run.recorder.refusals_ns)
    assert delays[len(delays) // 2] < MS


def test_exact_times_lose_nothing_by_caution() -> None:
    found = report(Runner("adaptive").run(steady(3 * CAPACITY, 100, 1, 10)))
    assert found["goodput_rps"] >= 0.98 * CAPACITY
    assert found["late"] == 0
