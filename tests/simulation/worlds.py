"""Small experiments for tests."""

from __future__ import annotations

from typing import Any

from clockwork_triton.simulation.experiment import Experiment, zoo_models
from clockwork_triton.simulation.network import Network
from clockwork_triton.simulation.workloads import FixedSlo, Mix, Poisson

MS = 1_000_000
SECOND = 1000 * MS


def steady(
    rate: float = 200, slo_ms: int = 100, models: int = 2, seconds: float = 2, **more: Any
) -> Experiment:
    """ResNet50s on one device, Poisson arrivals."""
    settings: dict[str, Any] = {"network": Network(50_000)} | more
    load = Poisson(Mix(range(models)), rate, FixedSlo(slo_ms * MS))
    return Experiment(
        "steady", zoo_models("resnet50_v2", models), [load], round(seconds * SECOND), **settings
    )
