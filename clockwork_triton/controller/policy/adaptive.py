"""The default policy: Clockwork's order while all deadlines can be met, most work done when they cannot."""

from __future__ import annotations

from collections import deque
from math import log2
from typing import ClassVar

from clockwork_triton.controller.batching import Choice, largest_batch, urgent_batch
from clockwork_triton.controller.keys import FAR, key_of, rank_in
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.policy.base import Batch
from clockwork_triton.controller.policy.deadline import DeadlinePolicy
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import WorkerState

# A request counts half in the warmth of its model after this time.
HALF_LIFE_NS = 30_000_000_000
# How many models of a tier are compared for the best batch in overload.
COMPARED = 12
# Models that were asked for within this time are active, and make up the rate of work.
ACTIVE_NS = 50_000_000
# Batches are only waited for when the work that comes in, run one by one, would keep devices this busy.
DEFER_LOAD = 0.9


class AdaptivePolicy(DeadlinePolicy):
    """Below saturation: latest start first, as Clockwork, but no request is given up for a larger batch that
    is not worth it.

    A worker whose waiting work exceeds the slack it came with is overloaded: cheap tiers of models first, of
    a tier the batch with most rows a second, and of these first the ripe ones, which could not grow any more
    before their deadline. (Running a batch early that could have been larger wastes a saturated device.)

    With no more active models than devices and more work than single requests could carry, the last idle
    device is kept for a batch to become ripe.
    """

    name: ClassVar[str] = "adaptive"

    def bind(self, state: State) -> None:
        super().bind(state)
        self._active: deque[tuple[int, int, ModelState]] = deque()
        self._active_models = 0
        self._active_work_ns = 0

    def choose(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        if self.demand.overloaded(worker, now_ns):
            return self._most_work(worker, start_ns)
        return self._most_urgent(worker, start_ns, now_ns)

    def _most_urgent(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        pool = worker.pool
        while True:
            tops = pool.tops()
            if not tops:
                return None
            key, _, replica = min(tops)
            model = replica.model
            choice = urgent_batch(model.queue, start_ns, model.sizes, replica.bound_ns)
            if choice is None:
                pool.drop(replica)
                continue
            rank, due_ns, _, _ = model.queue.entries[choice.first]
            actual = key_of(rank, due_ns - model.typical_ns[choice.size])
            if actual > key:
                pool.delay(replica, actual)
                if min(pool.tops())[2] is not replica:
                    continue
            ripe_ns = self._ripe_ns(replica, choice)
            if ripe_ns > start_ns and self._may_wait(worker, model, now_ns):
                self.state.wake(worker, now_ns + ripe_ns - start_ns)
                return None
            return self.take(replica, choice)

    def _most_work(self, worker: WorkerState, start_ns: int) -> Batch | None:
        pool = worker.pool
        tops = pool.tops()
        if not tops:
            return None
        rank = min(rank_in(key) for key, _, _ in tops)
        second: tuple[Replica, Choice] | None = None
        for key, _, top in tops:
            if rank_in(key) != rank:
                continue
            best: tuple[Replica, Choice] | None = None
            best_rate = best_unripe_rate = 0.0
            unripe: tuple[Replica, Choice] | None = None
            for entry_key, _, replica in pool.tiers[top.model.tier][:COMPARED]:
                if replica.pooled_key != entry_key or not replica.ready or rank_in(entry_key) != rank:
                    continue
                model = replica.model
                choice = largest_batch(model.queue, start_ns, model.sizes, replica.bound_ns)
                if choice is None:
                    pool.drop(replica)
                    continue
                rate = model.sizes[choice.size] / replica.bound_ns[choice.size]
                if self._ripe_ns(replica, choice) > start_ns:
                    if rate > best_unripe_rate:
                        unripe, best_unripe_rate = (replica, choice), rate
                elif rate > best_rate:
                    best, best_rate = (replica, choice), rate
            if best is not None:
                return self.take(*best)
            second = second or unripe
        return self.take(*second) if second is not None else self._most_work(worker, start_ns)

    @staticmethod
    def _ripe_ns(replica: Replica, choice: Choice) -> int:
        """From when on a larger batch could not meet the deadline of its most urgent request."""
        bounds_ns = replica.bound_ns
        if choice.size + 1 == len(bounds_ns):
            return 0
        due_ns = replica.model.queue.entries[choice.first][1]
        return 0 if due_ns >= FAR else due_ns - bounds_ns[choice.size + 1]

    def _may_wait(self, worker: WorkerState, model: ModelState, now_ns: int) -> bool:
        """Whether the batch may be held back in the hope of a larger one."""
        state = self.state
        if model.mask & state.idle_mask & ~worker.bit:
            return False
        self._forget_idle(now_ns)
        devices = len(state.workers)
        return self._active_models <= devices and self._active_work_ns > DEFER_LOAD * devices * ACTIVE_NS

    def arrived(self, model: ModelState, now_ns: int) -> None:
        """Counts the request in the activity and in the warmth of its model.

        Warmth is the logarithm of a sum of 2 ** (time / half-life) over all requests, so that it never has to
        be aged.
        """
        cost_ns = model.typical_ns[0]
        if now_ns - model.active_ns > ACTIVE_NS:
            self._active_models += 1
        model.active_ns = now_ns
        self._active.append((now_ns, cost_ns, model))
        self._active_work_ns += cost_ns
        self._forget_idle(now_ns)
        time = now_ns / HALF_LIFE_NS
        behind = model.warmth - time
        model.warmth = time + log2(1.0 + 2.0**behind) if behind < 50 else model.warmth

    def _forget_idle(self, now_ns: int) -> None:
        active = self._active
        since_ns = now_ns - ACTIVE_NS
        while active and active[0][0] < since_ns:
            time_ns, cost_ns, model = active.popleft()
            self._active_work_ns -= cost_ns
            if model.active_ns == time_ns:
                self._active_models -= 1
                model.active_ns = -FAR

    def load_score(self, model: ModelState, work_ns: int) -> float:
        """The work for the time that the LOAD takes."""
        return work_ns / max(1, model.fastest_load_ns)

    def regret(self, replica: Replica) -> float:
        """Warmth, shared among its copies, and the time it would take to bring it back."""
        return self._regret(replica.model, max(1, len(replica.model.resident)))

    def regret_of(self, model: ModelState) -> float:
        return self._regret(model, len(model.resident) + 1)

    @staticmethod
    def _regret(model: ModelState, copies: int) -> float:
        return model.warmth + log2(max(1, model.fastest_load_ns)) - 2 * log2(copies)
