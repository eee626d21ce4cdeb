"""A model on a worker: whether its weights are there, and how long it takes there."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

from clockwork_triton.controller.estimates import DurationEstimate
from clockwork_triton.controller.keys import FAR, NEVER
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.page_arena import Place
from clockwork_triton.controller.specs import Estimate

if TYPE_CHECKING:
    from clockwork_triton.controller.pending import Pending
    from clockwork_triton.controller.worker_state import WorkerState


# A batch size that does less than this part of the rows a second of a smaller one is not used.
SLOW = 0.9


class Residency(IntEnum):
    ABSENT = 0
    LOADING = 1
    RESIDENT = 2


class Replica:
    """`epoch` counts LOADs and tells the results of one stay from another's. `owed_until`: the model's
    `departed` at which what it was loaded for has left the queue. `held`: under calibration, not to be
    unloaded. `clock_mhz`: the device's clock that its durations are for, 0 if not known; `profile_mhz`: that
    of its profile, or the first that was seen. `ready`: it can be used. `ran_ns`, by size: when it was last
    measured. `slow`, by size: it does clearly fewer rows in the same time than a smaller size. `pooled_key`,
    `regret`: its entries in the orders of the worker."""

    __slots__ = (
        "bound_ns",
        "clock_mhz",
        "epoch",
        "expected_ns",
        "held",
        "in_flight",
        "infer",
        "load",
        "model",
        "owed_until",
        "place",
        "pooled_key",
        "profile_mhz",
        "ran_ns",
        "ready",
        "regret",
        "residency",
        "serial",
        "slow",
        "used_ns",
        "worker",
    )

    def __init__(self, model: ModelState, worker: WorkerState, serial: int) -> None:
        self.model = model
        self.worker = worker
        self.residency = Residency.ABSENT
        self.epoch = 0
        self.place: Place | None = None
        self.in_flight = 0
        self.held = False
        self.owed_until = 0
        self.used_ns = 0
        self.ready = False
        self.serial = serial
        self.pooled_key = NEVER
        self.regret = 0.0
        self.clock_mhz = self.profile_mhz = 0
        self.load = DurationEstimate(0)
        self.infer: list[DurationEstimate] = []
        self.bound_ns: list[int] = []
        self.expected_ns: list[int] = []
        self.ran_ns: list[int] = []
        self.slow: list[bool] = []

    def renew(self, estimate: Estimate, sizes: tuple[int, ...]) -> None:
        """Starts from this profile; what was measured before is forgotten."""
        self.load = DurationEstimate(estimate.load_ns)
        self.infer = [DurationEstimate(estimate.infer_ns[size]) for size in sizes]
        self.bound_ns = [estimate.infer_ns[size] for size in sizes]
        self.expected_ns = list(self.bound_ns)
        self.ran_ns = [-FAR] * len(sizes)
        self.slow = [False] * len(sizes)
        if self.model.sizes == sizes:
            self._find_slow()
        self.clock_mhz = self.profile_mhz = estimate.clock_mhz
        if self.worker.clock_mhz:
            self.clocked(self.worker.clock_mhz, FAR)

    def ran(self, size: int, measured_ns: int, now_ns: int) -> None:
        """Learns from an INFER of this batch size (an index)."""
        self.ran_ns[size] = now_ns
        self.infer[size].add(measured_ns, now_ns)
        self._learnt(size)

    def clocked(self, mhz: int, until_ns: int) -> None:
        """The worker's device runs at this clock now, on which the time of everything but copies depends; at
        the one before it ran until then at least."""
        if not self.clock_mhz:
            self.profile_mhz = mhz
        factor = self.clock_mhz / mhz if self.clock_mhz else 1
        self.clock_mhz = mhz
        for size, duration in enumerate(self.infer if factor != 1 else ()):
            duration.scale(factor, until_ns)
            self._learnt(size)

    def _learnt(self, size: int) -> None:
        duration = self.infer[size]
        if len(self.infer) != len(self.model.sizes):
            # Under calibration, before the model itself has estimates.
            self.expected_ns[size], self.bound_ns[size] = duration.expected_ns, duration.bound_ns
            return
        if duration.expected_ns != self.expected_ns[size]:
            self.expected_ns[size] = duration.expected_ns
            self._find_slow()
        self.model.learn(size, duration.expected_ns)
        before_ns, after_ns = self.bound_ns[size], duration.bound_ns
        if after_ns != before_ns:
            self.bound_ns[size] = after_ns
            self.model.bound_changed(self, size, before_ns)

    def useful_ns(self, pending: Pending) -> int:
        """The last moment at which a LOAD of it may start that is to be in time for the request."""
        return pending.due_ns - self.load.bound_ns - self.bound_ns[pending.size]

    def rate(self, size: int) -> float:
        """Rows a nanosecond of a full batch of this size (an index)."""
        return self.model.sizes[size] / self.expected_ns[size]

    def doubtful(self, size: int) -> bool:
        """Whether it may be slow only by its bound: it would do fewer rows in the same time than a smaller
        size usually does."""
        best = max([self.rate(smaller) for smaller in range(size)], default=0.0)
        return self.model.sizes[size] < SLOW * best * self.bound_ns[size]

    def _find_slow(self) -> None:
        best = 0.0
        for size in range(len(self.expected_ns)):
            rate = self.rate(size)
            self.slow[size] = rate < SLOW * best
            best = max(best, rate)

    @property
    def usable(self) -> bool:
        """Resident, with known running times."""
        known = self.model.spec.estimate_on(self.worker.spec) is not None
        return known and self.residency is Residency.RESIDENT

    @property
    def owing(self) -> bool:
        """It has not yet served what it was loaded for."""
        return self.model.departed < self.owed_until and len(self.model.queue) > 0
