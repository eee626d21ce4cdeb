"""How much work waits for whom."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum

from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.worker_state import WorkerState

# A request is reckoned to go to the least loaded of so many of the workers that hold its model.
CHOICES = 4
# Slacks below this many nanoseconds are of one class.
LEAST_SLACK_NS = 8
# Whether there is too much work is asked of at most so many workers together.
POOLED = 8


class Pressure(IntEnum):
    """Whether waiting work exceeds what can be done in time: not at all, if it is run one by one, or also if
    batches save half of what they could."""

    NONE = 0
    ALONE = 1
    BATCHED = 2


class Demand:
    """Reckons each waiting request with a deadline to one worker, without binding it.

    So the work that waits for each worker is known at all times, at a fixed cost a request.
    """

    def __init__(self) -> None:
        self._turn = 0

    def charge(self, pending: Pending, now_ns: int) -> None:
        """The request waits for a model that is resident somewhere."""
        model = pending.model
        if pending.due_ns >= FAR or not model.holders:
            return
        self._turn += 1
        worker, least_ns = model.holders[0], FAR
        for holder in model.some_holders(CHOICES, self._turn):
            load_ns = holder.exec.total_ns + holder.backlog_ns
            if load_ns < least_ns:
                worker, least_ns = holder, load_ns
        fill = model.filled_by(model.queue.rows)
        share_ns = pending.rows * model.typical_ns[fill] // model.sizes[fill]
        order = (pending.rank, model.tier)
        least_ns = pending.rows * model.row_ns
        worker.queued_ns[order] = worker.queued_ns.get(order, 0) + least_ns
        cost_ns = model.typical_ns[pending.size]
        slack = slack_class(pending.due_ns - now_ns)
        start_ns = worker.exec.available(now_ns) + worker.backlog_ns
        if start_ns + model.fastest_ns[pending.size] > pending.due_ns:
            pending.unserved = True
            model.unserved_ns += share_ns
        worker.backlog_ns += share_ns
        work_ns = worker.work_ns.get(slack)
        if work_ns is None:
            work_ns = worker.work_ns[slack] = [0, 0]
        work_ns[0] += cost_ns
        work_ns[1] += (cost_ns + share_ns) // 2
        pending.charged = worker
        pending.share_ns = share_ns
        pending.order = order
        pending.least_ns = least_ns
        pending.cost_ns = cost_ns
        pending.slack = slack

    def release(self, requests: tuple[Pending, ...]) -> None:
        """The requests do not wait any more."""
        for pending in requests:
            worker = pending.charged
            if worker is None:
                continue
            pending.charged = None
            worker.backlog_ns -= pending.share_ns
            worker.queued_ns[pending.order] -= pending.least_ns
            work_ns = worker.work_ns[pending.slack]
            work_ns[0] -= pending.cost_ns
            work_ns[1] -= (pending.cost_ns + pending.share_ns) // 2
            if not work_ns[0]:
                del worker.work_ns[pending.slack]
            if pending.unserved:
                pending.unserved = False
                pending.model.unserved_ns -= pending.share_ns

    def wait_ns(self, worker: WorkerState, rank: int, tier: int, now_ns: int) -> int:
        """The least time that passes before the worker could have done what waits for it and goes before a
        request of this tier: of higher levels everything, of its level what costs no more."""
        order = (rank, tier)
        before_ns = sum([queued_ns for each, queued_ns in worker.queued_ns.items() if each <= order])
        return worker.exec.available(now_ns) - now_ns + before_ns

    def pressure(self, worker: WorkerState, model: ModelState, now_ns: int) -> Pressure:
        """Whether more work waits for the worker, and for those that share the model with it, than they can
        do before the deadlines.

        All requests that came with a slack of at most s are due within s from now: if their work takes
        longer, some of them cannot be met.
        """
        if len(model.holders) == 1:
            return self._pressure((worker,), now_ns, 1.0)
        # Its own part is quickly seen to be small.
        if self._pressure((worker,), now_ns, 0.5) is Pressure.NONE:
            return Pressure.NONE
        return self._pressure(model.some_holders(POOLED, 0), now_ns, 1.0)

    def _pressure(self, workers: Sequence[WorkerState], now_ns: int, part: float) -> Pressure:
        """Of this part of what the workers can do."""
        alone_ns = 0
        slacks: set[int] = set()
        for worker in workers:
            alone_ns += worker.exec.available(now_ns) - now_ns
            slacks.update(worker.work_ns)
        joined_ns = alone_ns
        part *= len(workers)
        found = Pressure.NONE
        for slack in sorted(slacks):
            for worker in workers:
                work_ns = worker.work_ns.get(slack)
                if work_ns is not None:
                    alone_ns += work_ns[0]
                    joined_ns += work_ns[1]
            limit_ns = part * slack
            if joined_ns > limit_ns:
                return Pressure.BATCHED
            if alone_ns > limit_ns:
                found = Pressure.ALONE
        return found


def slack_class(slack_ns: int) -> int:
    """Slacks by size, four classes to each doubling; a class is known by the first slack that is too large
    for it."""
    if slack_ns < LEAST_SLACK_NS:
        return LEAST_SLACK_NS
    bits = slack_ns.bit_length() - 3
    return ((slack_ns >> bits) + 1) << bits
