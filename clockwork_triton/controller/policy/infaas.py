"""The scheduling side of INFaaS (ATC 2021): requests bound to instances, scaled by their load."""

from __future__ import annotations

from typing import ClassVar

from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.policy.deadline import DeadlinePolicy
from clockwork_triton.controller.policy.fifo import FifoPolicy
from clockwork_triton.controller.policy.load_order import Score
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.worker_state import WorkerState

# A batch may take this part of the latency objective; the rest is for waiting.
BATCH_PART = 0.5


class InfaasPolicy(FifoPolicy):
    """Each request is bound at its arrival to the least loaded instance of its model (an instance is a model
    on a worker). Batches are as large as the profile says the latency objective allows. When instances have
    more work than they can do in time, another is started on a worker with time to spare.

    The choice among variants of a model by accuracy and cost is no matter of scheduling and left out.
    """

    name: ClassVar[str] = "infaas"

    def mine(self, pending: Pending, worker: WorkerState) -> bool:
        """A request whose instance has been stopped, or that has no deadline, may go to any."""
        bound = pending.charged
        return bound is None or bound is worker or not pending.model.mask & bound.bit

    def limit(self, replica: Replica, waiting_rows: int, now_ns: int) -> int:
        model = replica.model
        objectives = [
            pending.deadline_ns - pending.arrival_ns
            for _, _, _, pending in model.queue.entries[:1]
            if pending.deadline_ns is not None
        ]
        if not objectives:
            return model.sizes[-1]
        fitting = [
            size
            for size, bound_ns in zip(model.sizes, replica.bound_ns, strict=True)
            if bound_ns <= BATCH_PART * min(objectives)
        ]
        return fitting[-1] if fitting else model.sizes[0]

    def _pressed_score(self, model: ModelState) -> Score | None:
        return DeadlinePolicy._pressed_score(self, model)

    def load_score(self, model: ModelState, work_ns: int) -> float:
        return float(work_ns)

    def regret_of(self, model: ModelState) -> float:
        return float(max((replica.used_ns for replica in model.resident.values()), default=0))
