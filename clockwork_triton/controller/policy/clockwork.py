"""Clockwork's scheduler (INFER5 of the OSDI 2020 artifact), without its known defects."""

from __future__ import annotations

from typing import ClassVar

from clockwork_triton.controller.batching import best_batch
from clockwork_triton.controller.keys import key_of
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.policy.base import Batch
from clockwork_triton.controller.policy.deadline import DeadlinePolicy
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.worker_state import WorkerState


class ClockworkPolicy(DeadlinePolicy):
    """Latest start first across models; of the model, the largest batch that makes its deadlines.

    As in the original, requests too urgent for that batch are given up for it. The model with most unserved
    work is loaded, the least recently used is unloaded.
    """

    name: ClassVar[str] = "clockwork"

    def choose(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        pool = worker.pool
        while True:
            tops = pool.tops()
            if not tops:
                return None
            key, _, replica = min(tops)
            model = replica.model
            choice = best_batch(model.queue, start_ns, replica)
            if choice is None:
                pool.drop(replica)
                continue
            rank, due_ns, _, _ = model.queue.entries[0]
            actual = key_of(rank, due_ns - model.typical_ns[choice.size])
            if actual > key:
                # The batch hoped for cannot be met: a smaller one takes its turn by its own latest start.
                pool.delay(replica, actual)
                if min(pool.tops())[2] is not replica:
                    continue
            dropped = () if choice.places else model.queue.take_slice(0, choice.first)
            self.demand.release(dropped)
            choice = choice._replace(first=choice.first - len(dropped), last=choice.last - len(dropped))
            return self.take(replica, choice)._replace(dropped=dropped)

    def load_score(self, model: ModelState, work_ns: int) -> float:
        return float(work_ns)

    def regret(self, replica: Replica) -> float:
        return float(replica.used_ns)

    def regret_of(self, model: ModelState) -> float:
        return float(model.active_ns)

    def arrived(self, model: ModelState, now_ns: int) -> None:
        model.active_ns = now_ns
