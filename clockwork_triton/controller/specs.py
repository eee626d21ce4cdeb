"""What the controller knows of models and workers before anything runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Estimate:
    """Predicted durations of a model on one kind of device, in nanoseconds. `infer_ns`: by batch size, with
    the device's clock at `clock_mhz`; 0 where that is not known."""

    load_ns: int
    infer_ns: Mapping[int, int]
    clock_mhz: int = 0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model version that can be scheduled.

    `segments`: the pages of each run of pages its weights need. `estimates`: by device kind; a worker of a
    kind that is not in it cannot run the model (yet). The batch sizes are those of the estimates. `workers`:
    the only ones that may run it; None: any.
    """

    model_id: int
    name: str
    segments: tuple[int, ...]
    estimates: Mapping[str, Estimate]
    workers: frozenset[int] | None = None

    @property
    def pages(self) -> int:
        return sum(self.segments)

    def may_use(self, worker: WorkerSpec) -> bool:
        return self.workers is None or worker.worker_id in self.workers

    def estimate_on(self, worker: WorkerSpec) -> Estimate | None:
        """None where the worker cannot run the model (yet), or may not."""
        if self.workers is not None and not self.may_use(worker):
            return None
        return self.estimates.get(worker.device_kind)


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """A worker as it presents itself.

    `slots`: how many INFERs may be outstanding at it. `overlaps`: a LOAD runs beside an INFER without
    slowing it (a GPU's copy engine); where it does not, both share one timeline.
    """

    worker_id: int
    device_kind: str
    pages: int
    slots: int
    overlaps: bool
