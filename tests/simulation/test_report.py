from __future__ import annotations

import json

import pytest

from clockwork_triton.simulation.experiment import Runner
from clockwork_triton.simulation.report import report
from tests.simulation.worlds import SECOND, steady


def test_the_figures_agree_with_each_other() -> None:
    found = report(Runner("adaptive").run(steady(seconds=4, warm_up_ns=SECOND, series_step_ns=SECOND)))
    assert json.loads(json.dumps(found)) == found
    assert found["offered_rps"] == pytest.approx(200, rel=0.15)
    assert found["offered"] == found["offered_rps"] * 3
    assert found["goodput_rps"] == pytest.approx(found["offered_rps"] * found["attainment"])
    assert (found["late"], found["refused"], found["failed"]) == (0, 0, 0)
    assert found["latency_ms"]["p50"] <= found["latency_ms"]["p99"] <= found["latency_ms"]["max"] < 100
    assert sum(int(size) * count for size, count in found["batches"].items()) > found["offered"]
    assert found["loads"] == 2
    busy = sum(
        count * {1: 3.322, 2: 5.271, 4: 7.495, 8: 12.439, 16: 21.729}[int(size)]
        for size, count in found["batches"].items()
    )
    assert found["device_busy"]["infer"] == pytest.approx(busy / 4000, rel=0.01)
    assert found["prediction_error_ms"]["over"]["max"] == 0
    assert set(found["per_model"]) == {"resnet50_v2_0", "resnet50_v2_1"}
    assert sum(model["offered"] for model in found["per_model"].values()) == found["offered"]
    assert found["groups"]["resnet50_v2"]["models"] == 2
    assert [row["t_s"] for row in found["series"]] == [1, 2, 3]


def test_the_same_seed_gives_the_same_figures() -> None:
    first, second = (report(Runner("adaptive").run(steady(1000, 30, seed=3))) for _ in range(2))
    first.pop("controller_us_per_request")
    second.pop("controller_us_per_request")
    assert first == second
    assert report(Runner("adaptive").run(steady(1000, 30, seed=4)))["offered"] != first["offered"]
