"""Measuring again what keeps requests from being served."""

from __future__ import annotations

from collections.abc import Mapping

from clockwork_triton.controller.calibration import Calibrator
from clockwork_triton.controller.model_state import PROBE_GAP_NS, ModelState
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.state import State

# A request that has less than this part of the time it would take is no reason to doubt the estimate.
PLAUSIBLE = 0.1
# The longest time between two probes of a model.
RAREST_NS = 512 * PROBE_GAP_NS


class Probes:
    """A batch size whose estimate is too long is not used, so that no result would ever correct it.

    While requests of its model are refused, such a size is measured again, without requests and in the time
    that calibrations may take: once, or as often as it takes to forget the old estimate if that proves wrong.
    This is repeated after a second, then two, then four.
    """

    def __init__(self, state: State, calibrator: Calibrator) -> None:
        self._state = state
        self._calibrator = calibrator
        state.on_refused = self._refused

    def _refused(self, pending: Pending, now_ns: int) -> None:
        model = pending.model
        if model.retired or not self._calibrator.may_probe(model):
            return
        first = model.probe_ns is None
        model.probe_ns = now_ns + model.probe_gap_ns
        doubted = None if first else self._doubted(pending, now_ns)
        if doubted is None:
            model.probe_gap_ns = PROBE_GAP_NS
            return
        model.probe_gap_ns = min(2 * model.probe_gap_ns, RAREST_NS)
        replica, bounds_ns = doubted
        self._calibrator.probe(replica, bounds_ns, now_ns)

    def _doubted(self, pending: Pending, now_ns: int) -> tuple[Replica, Mapping[int, int]] | None:
        """A replica and the durations, by batch size, for want of which requests may have been refused."""
        model = pending.model
        replica = self._replica(model)
        if replica is None:
            return None
        budget_ns = pending.due_ns - pending.arrival_ns
        bounds_ns = replica.bound_ns
        if budget_ns < PLAUSIBLE * bounds_ns[pending.size]:
            return None
        doubted = {
            model.sizes[size]: bounds_ns[size]
            for size in range(len(model.sizes))
            if 2 * (now_ns - replica.ran_ns[size]) > PROBE_GAP_NS
            and (replica.doubtful(size) or (size == pending.size and bounds_ns[size] > budget_ns))
        }
        return (replica, doubted) if doubted else None

    def _replica(self, model: ModelState) -> Replica | None:
        """One of those resident, another each time; else on a worker that could load it."""
        if model.resident:
            copies = list(model.resident.values())
            return copies[self._state.serial() % len(copies)]
        able = self._state.able(model)
        for worker in self._state.workers.values():
            if worker.bit & able and not worker.stuck:
                return self._state.replica(model, worker)
        return None
