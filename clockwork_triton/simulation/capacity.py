"""What a given traffic needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from clockwork_triton.simulation.experiment import Experiment, Runner
from clockwork_triton.simulation.workloads import Workload, with_slo

MS = 1_000_000
# The lowest SLO is found to this precision.
PRECISION = 0.02
MOST_DEVICES = 4096
# No number of devices is enough if doubling it so many times has brought nothing.
FUTILE = 2
MOST_SLO_NS = 600_000_000_000


@dataclass(frozen=True)
class Trial:
    """One run of a search."""

    devices: int
    slo_ns: int | None
    attainment: float


class Capacity:
    """Searches by bisection, on the assumption that more devices, and longer SLOs, do no harm. `tried` is
    told of every run."""

    def __init__(
        self, experiment: Experiment, policy: str, attainment: float, tried: Callable[[Trial], None]
    ) -> None:
        self._experiment = experiment
        self._runner = Runner(policy)
        self._attainment = attainment
        self._tried = tried

    def fewest_devices(self) -> int | None:
        """The fewest devices on which this part of the requests is answered in time; None if there is no
        such number."""

        def attained(devices: int) -> float:
            return self._try(self._experiment.with_devices(devices), None)

        most, before, idle = 1, -1.0, 0
        while (reached := attained(most)) < self._attainment:
            idle = idle + 1 if reached <= before else 0
            if most >= MOST_DEVICES or idle >= FUTILE:
                return None
            most, before = 2 * most, reached
        least = most // 2
        while most - least > 1:
            middle = (least + most) // 2
            enough = attained(middle) >= self._attainment
            least, most = (least, middle) if enough else (middle, most)
        return most

    def lowest_slo_ns(self) -> int | None:
        """The lowest SLO, given to all requests alike, that this part of them meets on the experiment's
        devices; None if none does."""

        def enough(slo_ns: int) -> bool:
            workloads: list[Workload] = [with_slo(load, slo_ns) for load in self._experiment.workloads]
            return self._try(replace(self._experiment, workloads=workloads), slo_ns) >= self._attainment

        most = MS
        while not enough(most):
            most *= 4
            if most > MOST_SLO_NS:
                return None
        least = most // 4
        while most - least > PRECISION * most:
            middle = (least + most) // 2
            least, most = (least, middle) if enough(middle) else (middle, most)
        return most

    def _try(self, experiment: Experiment, slo_ns: int | None) -> float:
        """The part of the requests that is answered in time."""
        recorder = self._runner.run(experiment).recorder
        offered = sum(counts.offered for counts in recorder.models.values())
        in_time = sum(counts.in_time for counts in recorder.models.values())
        attainment = in_time / offered if offered else 1.0
        self._tried(Trial(experiment.devices, slo_ns, attainment))
        return attainment
