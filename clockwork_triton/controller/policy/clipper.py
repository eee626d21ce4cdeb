"""Clipper's scheduling (NSDI 2017): one queue a model, batch sizes found by trial."""

from __future__ import annotations

from typing import ClassVar

from clockwork_triton.controller.policy.fifo import FifoPolicy
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import Flight

# The batch size grows by this many rows a batch, and shrinks by this factor.
INCREASE = 1.0
BACK_OFF = 0.9


class ClipperPolicy(FifoPolicy):
    """The largest batch of a model grows until one takes longer, from dispatch to result, than the latency
    objective of its requests, and then shrinks by a tenth (AIMD)."""

    name: ClassVar[str] = "clipper"

    def bind(self, state: State) -> None:
        super().bind(state)
        self._most: dict[int, float] = {}

    def limit(self, replica: Replica, waiting_rows: int, now_ns: int) -> int:
        return max(1, int(self._most.get(replica.model.serial, 1.0)))

    def ended(self, flight: Flight, now_ns: int) -> None:
        objectives = [
            pending.deadline_ns - pending.arrival_ns
            for pending in flight.requests
            if pending.deadline_ns is not None
        ]
        model = flight.replica.model
        most = self._most.get(model.serial, 1.0)
        if objectives and now_ns - flight.action.earliest_ns > min(objectives):
            most = max(1.0, most * BACK_OFF)
        elif flight.size >= model.filled_by(int(most)):
            most = min(float(model.sizes[-1]), most + INCREASE)
        self._most[model.serial] = most
