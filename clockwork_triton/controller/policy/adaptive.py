"""The default policy: Clockwork's order while all deadlines can be met, most work done when they cannot."""

from __future__ import annotations

from collections import deque
from math import ceil, log2, sqrt
from typing import ClassVar

from clockwork_triton.controller.batching import Choice, patient_batch, urgent_batch
from clockwork_triton.controller.keys import FAR, key_of
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.policy.base import Batch
from clockwork_triton.controller.policy.deadline import DeadlinePolicy
from clockwork_triton.controller.policy.demand import Pressure
from clockwork_triton.controller.policy.most_work import MostWork, ripe_ns
from clockwork_triton.controller.policy.slack import Slack
from clockwork_triton.controller.ready_pool import Entry
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import WorkerState

# A request counts half in the warmth of its model after this time.
HALF_LIFE_NS = 30_000_000_000
# Models that were asked for within this time are active, and make up the rate of work.
ACTIVE_NS = 50_000_000
# Batches are only waited for when the work that comes in, run one by one, would keep devices this busy.
DEFER_LOAD = 0.9
# A model has batches enough waiting if its largest batch size is filled so many times.
ENOUGH = 2
# How many times the usual bounds of delays a request is kept clear of its deadline where many are refused.
CAUTION = 3
# A request is refused at its arrival only if so many workers that hold its model have no time for it.
POOLED = 8
# A worker kept free for deadlines is offered to other requests again after this time.
GAP_RETRY_NS = 50_000_000


class AdaptivePolicy(DeadlinePolicy):
    """Below saturation: latest start first, as Clockwork, but no request is given up for a larger batch that
    is not worth it.

    A worker whose waiting work exceeds the slack it came with is overloaded, and does what gives most rows a
    second (see `MostWork`).

    With no more active models than devices and more work than single requests could carry, the last idle
    device is kept for a batch to become ripe. Requests without a deadline fill the gaps, in batches short
    enough for the deadlines that may come.
    """

    name: ClassVar[str] = "adaptive"

    def bind(self, state: State) -> None:
        super().bind(state)
        self._most_work = MostWork()
        self._slack = Slack()
        self._gaps: list[int] = []
        self._active: deque[tuple[int, int, ModelState]] = deque()
        self._active_models = 0
        self._active_work_ns = 0

    def choose(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        tops = worker.pool.tops()
        if tops:
            pressure = self.demand.pressure(worker, min(tops)[2].model, now_ns)
            # While batches may yet save enough, no model is given up for others that need less time.
            if pressure is Pressure.BATCHED or (pressure is Pressure.ALONE and len(tops) == 1):
                found = self._most_work.pick(worker.pool, start_ns)
                if found is not None:
                    return self.take(*found)
                tops = worker.pool.tops()
        return self._most_urgent(worker, tops, start_ns, now_ns)

    def _most_urgent(
        self, worker: WorkerState, tops: list[Entry], start_ns: int, now_ns: int
    ) -> Batch | None:
        pool = worker.pool
        while tops:
            key, _, replica = min(tops)
            model = replica.model
            if model.queue.entries[0][1] >= FAR:
                return self._fill_gap(worker, replica, now_ns)
            choice = urgent_batch(model.queue, start_ns, replica)
            if choice is None:
                pool.drop(replica)
                tops = pool.tops()
                continue
            rank, due_ns, _, _ = model.queue.entries[choice.first]
            actual = key_of(rank, due_ns - model.typical_ns[choice.size])
            if actual > key:
                pool.delay(replica, actual)
                tops = pool.tops()
                if min(tops)[2] is not replica:
                    continue
            left_ns = ripe_ns(replica, choice) - start_ns
            if left_ns > 0 and self._may_wait(worker, model, now_ns):
                self.state.wake(worker, now_ns + left_ns)
                return None
            return self.take(replica, choice)
        return None

    def _fill_gap(self, worker: WorkerState, replica: Replica, now_ns: int) -> Batch | None:
        """The largest batch of requests without a deadline that leaves room for deadlines.

        Batches longer than the slack of the deadlines that come run only on as many workers as those can do
        without, and on one at least; elsewhere, shorter ones. A single worker runs the shortest.
        """
        sizes = replica.model.sizes
        size, places = patient_batch(replica.model.queue, sizes, replica.expected_ns)
        slack_ns = self._slack.least_ns(now_ns)
        if replica.bound_ns[size] > slack_ns:
            alone = not self.state.everyone & ~worker.bit
            if alone or self._blocked(now_ns + slack_ns) >= self._spare(now_ns):
                fitting = sum(bound_ns <= slack_ns for bound_ns in replica.bound_ns[:size])
                if not fitting and not alone:
                    self.state.wake(worker, now_ns + GAP_RETRY_NS)
                    return None
                size, places = patient_batch(
                    replica.model.queue, sizes[: max(1, fitting)], replica.expected_ns
                )
            self._gaps.append(now_ns + replica.bound_ns[size])
        return self.take(replica, Choice(size, 0, 0, places))

    def _blocked(self, time_ns: int) -> int:
        """How many workers requests without a deadline will still occupy by then."""
        self._gaps = [end_ns for end_ns in self._gaps if end_ns > time_ns]
        return len(self._gaps)

    def _spare(self, now_ns: int) -> int:
        """How many workers the deadlines can do without: all but their load, and the square root of it twice
        to be safe from its variations; one at least."""
        self._forget_idle(now_ns)
        load = self._active_work_ns / ACTIVE_NS
        return max(1, len(self.state.workers) - ceil(load + 2 * sqrt(load)))

    def queued(self, pending: Pending, now_ns: int) -> None:
        if pending.due_ns < FAR:
            self._slack.note(pending.due_ns - now_ns - pending.model.fastest_ns[pending.size], now_ns)
            self._count_active(pending.model, now_ns)
            pending.model.arrived(now_ns)
        super().queued(pending, now_ns)

    def crowded_out(self, pending: Pending, now_ns: int) -> bool:
        """Where a model has batches enough waiting, one more request that will not be reached in time is no
        use; what has been seen of delays is allowed for, so that those admitted are not all on the brink."""
        model = pending.model
        if pending.due_ns >= FAR or model.queue.rows < ENOUGH * model.sizes[-1] or not model.mask:
            return False
        state = self.state
        for worker in model.some_holders(POOLED, pending.seq):
            delay_ns = state.returns.bound_ns(now_ns) + worker.starts.bound_ns(now_ns)
            wait_ns = self.demand.wait_ns(worker, pending.rank, model.tier, now_ns)
            if now_ns + wait_ns + model.row_ns * pending.rows + CAUTION * delay_ns <= pending.due_ns:
                return False
        return True

    def _may_wait(self, worker: WorkerState, model: ModelState, now_ns: int) -> bool:
        """Whether the batch may be held back in the hope of a larger one."""
        state = self.state
        if model.mask & state.idle_mask & ~worker.bit:
            return False
        self._forget_idle(now_ns)
        devices = len(state.workers)
        return self._active_models <= devices and self._active_work_ns > DEFER_LOAD * devices * ACTIVE_NS

    def arrived(self, model: ModelState, now_ns: int) -> None:
        """Counts the request in the warmth of its model.

        Warmth is the logarithm of a sum of 2 ** (time / half-life) over all requests, so that it never has to
        be aged.
        """
        time = now_ns / HALF_LIFE_NS
        behind = model.warmth - time
        if behind < 50:
            model.warmth = time + log2(1.0 + 2.0**behind)

    def _count_active(self, model: ModelState, now_ns: int) -> None:
        cost_ns = model.typical_ns[0]
        if model.active_ns == -FAR:
            self._active_models += 1
        model.active_ns = now_ns
        self._active.append((now_ns, cost_ns, model))
        self._active_work_ns += cost_ns
        if self._active[0][0] < now_ns - ACTIVE_NS:
            self._forget_idle(now_ns)

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
