"""The dynamic batcher of Triton Inference Server."""

from __future__ import annotations

from typing import ClassVar

from clockwork_triton.controller.policy.fifo import FifoPolicy
from clockwork_triton.controller.replica import Replica


class TritonPolicy(FifoPolicy):
    """Whatever waits for a model is run when an instance is free, in the largest preferred batch size (those
    of the artifact) that it fills; requests wait up to `queue_delay_ns` for company. A request whose timeout
    passes in the queue is rejected."""

    name: ClassVar[str] = "triton"

    def limit(self, replica: Replica, waiting_rows: int, now_ns: int) -> int:
        model = replica.model
        delay_ns = self.state.options.queue_delay_ns
        if delay_ns and waiting_rows < model.sizes[-1]:
            oldest_ns = min(pending.arrival_ns for _, _, _, pending in model.queue.entries)
            if now_ns - oldest_ns < delay_ns:
                self.state.wake(replica.worker, oldest_ns + delay_ns)
                return 0
        return model.sizes[-1]
