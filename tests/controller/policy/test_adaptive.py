from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from clockwork_triton.simulation.experiment import Experiment, Runner, SimulatedModel, zoo_models
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.report import report
from clockwork_triton.simulation.workloads import ClosedLoop, FixedSlo, Mix, Poisson, Workload

MS = 1_000_000
SECOND = 1000 * MS


def run(
    policy: str,
    models: Sequence[SimulatedModel],
    loads: Sequence[Workload],
    devices: int,
    seconds: float,
    *,
    resident: bool = True,
) -> dict[str, Any]:
    experiment = Experiment(
        "test",
        models,
        loads,
        round(seconds * SECOND),
        devices=devices,
        resident=resident,
        network=Network(50_000),
    )
    return report(Runner(policy).run(experiment))


def poisson(places: range, rate: float, slo_ms: int) -> Poisson:
    return Poisson(Mix(places), rate, FixedSlo(slo_ms * MS))


def test_in_overload_the_cheap_are_served_rather_than_few_of_all() -> None:
    models = [*zoo_models("resnet18_v2", 2), *zoo_models("resnet152_v2", 2)]
    loads = [poisson(range(4), 2500, 100)]
    goodput = {
        policy: run(policy, models, loads, 1, 2)["goodput_rps"] for policy in ("adaptive", "clockwork")
    }
    assert goodput["adaptive"] > 1.8 * goodput["clockwork"]


def test_below_saturation_expensive_models_are_not_given_up() -> None:
    models = [*zoo_models("resnet18_v2", 2), *zoo_models("resnet152_v2", 2)]
    found = run("adaptive", models, [poisson(range(4), 250, 100)], 1, 4)
    assert min(model["attainment"] for model in found["per_model"].values()) > 0.98


def test_deadlines_are_met_beside_clients_that_are_never_done() -> None:
    models = [*zoo_models("resnet50_v2", 2, "urgent"), *zoo_models("resnet50_v2", 4, "batch")]
    loads: list[Workload] = [poisson(range(2), 200, 30)]
    loads += [ClosedLoop(2 + n, 8, FixedSlo(None)) for n in range(4)]
    found = run("adaptive", models, loads, 2, 4)
    assert found["groups"]["urgent"]["attainment"] > 0.99
    assert found["groups"]["batch"]["goodput_rps"] > 100


@pytest.mark.parametrize("policy", ["adaptive", "clockwork"])
def test_clients_without_a_deadline_get_every_device(policy: str) -> None:
    models = zoo_models("resnet50_v2", 1)
    one, two = (
        run(policy, models, [ClosedLoop(0, 8, FixedSlo(None))], devices, 4, resident=False)
        for devices in (1, 2)
    )
    assert two["goodput_rps"] > 1.4 * one["goodput_rps"]
    assert two["loads"] == 2


def test_one_client_that_waits_keeps_to_one_device() -> None:
    load = [ClosedLoop(0, 1, FixedSlo(None))]
    assert run("adaptive", zoo_models("resnet50_v2", 1), load, 2, 1, resident=False)["loads"] == 1


def test_requests_without_a_deadline_are_not_starved_by_overload() -> None:
    models = [*zoo_models("resnet50_v2", 1, "urgent"), *zoo_models("resnet50_v2", 1, "patient")]
    loads: list[Workload] = [poisson(range(1), 1500, 50), ClosedLoop(1, 1, FixedSlo(None))]
    found = run("adaptive", models, loads, 1, 10)
    assert found["groups"]["patient"]["goodput_rps"] >= 0.5
    assert found["groups"]["urgent"]["goodput_rps"] > 500


def test_batches_are_waited_for_only_where_devices_outnumber_models() -> None:
    """One model on six devices, more than single requests could carry: waiting makes batches."""
    models = zoo_models("resnet50_v2", 1)
    attained = {
        policy: run(policy, models, [poisson(range(1), 2300, 12)], 6, 2)["attainment"]
        for policy in ("adaptive", "clockwork")
    }
    assert attained["adaptive"] > attained["clockwork"]
    assert run("adaptive", models, [poisson(range(1), 100, 12)], 6, 2)["latency_ms"]["p50"] < 4
