"""How long actions really take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Protocol

from clockwork_triton.controller.actions import Action, ActionKind
from clockwork_triton.controller.specs import Estimate
from clockwork_triton.simulation.device import Durations
from clockwork_triton.simulation.moments import Moments

# The 99th percentile of the standard normal distribution.
Z99 = 2.3263478740408409


class Timing(Protocol):
    """What decides how long actions take."""

    def durations(self, estimates: Mapping[int, Estimate], seed: str) -> Durations:
        """For one device; `estimates` by model id."""
        ...


@dataclass(frozen=True)
class Noise:
    """Durations are log-normal about the profile, which is their median, with the 99th percentile at
    `p99` times it; one in `outlier_every` (0: none) is multiplied by `outlier_factor` besides."""

    p99: float = 1.0
    outlier_every: int = 0
    outlier_factor: float = 10.0

    def durations(self, estimates: Mapping[int, Estimate], seed: str) -> Durations:
        exact = self == Noise()
        rng = Random(seed)

        def duration(action: Action, begin_ns: int) -> int:
            planned = profiled(estimates[action.model_id], action)
            return planned if exact else round(planned * self._factor(rng))

        return duration

    def _factor(self, rng: Random) -> float:
        factor = math.exp(rng.gauss(0.0, math.log(self.p99) / Z99)) if self.p99 != 1.0 else 1.0
        if self.outlier_every and rng.random() * self.outlier_every < 1.0:
            factor *= self.outlier_factor
        return factor


@dataclass(frozen=True)
class Recorded:
    """Durations drawn from those measured about that time, by (model id, batch size; 0: LOAD); the profile
    where there are none."""

    measured_ns: Mapping[tuple[int, int], Moments]

    def durations(self, estimates: Mapping[int, Estimate], seed: str) -> Durations:
        rng = Random(seed)

        def duration(action: Action, begin_ns: int) -> int:
            seen = self.measured_ns.get((action.model_id, action.batch_size))
            return seen.draw(rng, begin_ns) if seen else profiled(estimates[action.model_id], action)

        return duration


def profiled(estimate: Estimate, action: Action) -> int:
    return estimate.infer_ns[action.batch_size] if action.kind is ActionKind.INFER else estimate.load_ns
