"""Clockwork's scheduler (INFER5 of the OSDI 2020 artifact), without its known defects.

Latest start first across models, the largest batch that makes its deadlines, earliest deadline first within
a model, late binding over the workers that hold it; the model with most unserved demand is loaded first.
"""

from __future__ import annotations

from heapq import heappop, heappush, heapreplace
from typing import ClassVar

from clockwork_triton.controller.batching import largest_batch
from clockwork_triton.controller.model_state import NEVER, ModelState
from clockwork_triton.controller.pending import FAR, Pending
from clockwork_triton.controller.policy.base import Batch, Policy
from clockwork_triton.controller.replica import Replica, Residency
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import WorkerState

# Ranks lie this far apart in a key, further than any due time.
RANK_SHIFT = 63


class ClockworkPolicy(Policy):
    """A worker's pool holds one entry (key, model, replica) for each resident model with waiting requests.

    Keys in a pool may be too small, never too large: they are corrected when they reach the top.
    """

    name: ClassVar[str] = "clockwork"

    def bind(self, state: State) -> None:
        super().bind(state)
        self._cold: list[tuple[int, int, int, ModelState]] = []

    def admits(self, pending: Pending, now_ns: int) -> bool:
        model = pending.model
        if pending.patient or not self.state.workers:
            return self.hopeless_ns(pending) > now_ns
        return self._earliest_end(model, pending.size, now_ns) <= pending.due_ns

    def _earliest_end(self, model: ModelState, size: int, now_ns: int) -> int:
        """When a request that arrives now would have been run, if nothing but what is planned came before."""
        lead = now_ns + self.state.options.lead_ns
        if model.resident:
            return min(
                max(lead, replica.worker.exec.available(now_ns)) + replica.bound_ns[size]
                for replica in model.resident.values()
            )
        if model.loading:
            return min(
                max(lead, replica.worker.link.available(now_ns)) + replica.bound_ns[size]
                for replica in model.loading.values()
            )
        start = min(worker.link.available(now_ns) for worker in self.state.workers.values())
        return max(lead, start) + model.profile_load_ns + model.profile_ns[size]

    def queued(self, pending: Pending, now_ns: int) -> None:
        model = pending.model
        self._rekey(model)
        if model.resident:
            if model.key < model.pooled_key:
                model.pooled_key = model.key
                for replica in model.resident.values():
                    self._pool(replica, model.key)
        elif not model.loading:
            self.stranded(model, now_ns)

    def unqueued(self, model: ModelState) -> None:
        self._rekey(model)

    def hopeless_ns(self, pending: Pending) -> int:
        if pending.patient:
            return FAR
        model = pending.model
        needed = model.fastest_ns(pending.size) + self.state.options.lead_ns
        if not model.resident and not model.loading:
            needed += model.profile_load_ns
        return pending.due_ns - needed + 1

    def loaded(self, replica: Replica, now_ns: int) -> None:
        model = replica.model
        if model.queue:
            self._rekey(model)
            self._pool(replica, model.key)

    def stranded(self, model: ModelState, now_ns: int) -> None:
        score = self._load_score(model)
        if model.load_score != score:
            model.load_score = score
            heappush(self._cold, (*score, model.model_id, model))

    def _load_score(self, model: ModelState) -> tuple[int, int]:
        return model.queue.entries[0][0], -self._demand_ns(model)

    def _demand_ns(self, model: ModelState) -> int:
        return model.queue.rows * model.profile_ns[0]

    def pick(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        while True:
            replica = self._top(worker)
            if replica is None:
                return None
            model = replica.model
            choice = largest_batch(model.queue, start_ns, model.sizes, replica.bound_ns)
            if choice is not None:
                requests = choice.take_from(model.queue)
                self._rekey(model)
                return Batch(replica, choice.size, requests)
            # Nothing of it can be met here any more; a later request brings it back.
            heappop(worker.pool)
            replica.pooled_key = NEVER
            model.pooled_key = NEVER

    def _top(self, worker: WorkerState) -> Replica | None:
        """The most urgent resident model of the worker, left at the top of the pool."""
        pool = worker.pool
        while pool:
            key, model_id, replica = pool[0]
            model = replica.model
            if replica.pooled_key != key:
                heappop(pool)
            elif replica.residency is not Residency.RESIDENT or not model.queue:
                heappop(pool)
                replica.pooled_key = NEVER
                model.pooled_key = NEVER
            elif model.key > key:
                replica.pooled_key = model.key
                heapreplace(pool, (model.key, model_id, replica))
            else:
                return replica
        return None

    def _pool(self, replica: Replica, key: int) -> None:
        if key != replica.pooled_key:
            replica.pooled_key = key
            heappush(replica.worker.pool, (key, replica.model.model_id, replica))

    def _rekey(self, model: ModelState) -> None:
        """The latest start of the largest batch its queue can fill, after the priority level."""
        entries = model.queue.entries
        if not entries:
            model.key = NEVER
            return
        rows = model.queue.rows
        sizes = model.sizes
        index = len(sizes) - 1
        while index and sizes[index] > rows:
            index -= 1
        model.key = (entries[0][0] << RANK_SHIFT) + entries[0][1] - model.profile_ns[index]

    def pick_load(self, worker: WorkerState, now_ns: int) -> ModelState | None:
        cold = self._cold
        passed = []
        found = None
        start = max(now_ns + self.state.options.lead_ns, worker.link.available(now_ns))
        while cold and found is None:
            rank, demand, _, model = cold[0]
            if model.load_score != (rank, demand):
                heappop(cold)
            elif not model.queue or model.resident or model.loading:
                heappop(cold)
                model.load_score = None
            elif self._load_score(model) != (rank, demand):
                heappop(cold)
                self.stranded(model, now_ns)
            elif not self._worth_loading(model, worker, start):
                passed.append(heappop(cold))
            else:
                found = model
        for entry in passed:
            heappush(cold, entry)
        return found

    def _worth_loading(self, model: ModelState, worker: WorkerState, start_ns: int) -> bool:
        """Whether a LOAD that starts then would be in time for the most patient of the requests."""
        replica = self.state.replica(model, worker)
        if replica is None or model.spec.pages > worker.spec.pages:
            return False
        last = model.queue.entries[-1][3]
        return last.due_ns >= start_ns + replica.load.bound_ns + replica.bound_ns[last.size]

    def load_first(self, worker: WorkerState, model: ModelState) -> bool:
        top = self._top(worker)
        if top is None:
            return True
        rank, due, _, _ = model.queue.entries[0]
        needed = model.profile_load_ns + model.profile_ns[0]
        return (rank << RANK_SHIFT) + due - needed <= top.model.key

    def victim(self, worker: WorkerState, now_ns: int, spared: set[int]) -> Replica | None:
        """Idle models first, least recently used first; then busy ones."""
        best: Replica | None = None
        for replica in worker.replicas.values():
            if (
                replica.residency is not Residency.RESIDENT
                or replica.in_flight
                or replica.owing
                or replica.held
                or replica.model.model_id in spared
            ):
                continue
            if best is None or _regret(replica) < _regret(best):
                best = replica
        return best


def _regret(replica: Replica) -> tuple[bool, int, int]:
    return (bool(replica.model.queue), replica.used_ns, replica.model.model_id)
