"""The batch to run when not all deadlines can be met."""

from __future__ import annotations

from collections.abc import Sequence

from clockwork_triton.controller.batching import Choice, most_rows_batch
from clockwork_triton.controller.keys import FAR, rank_in
from clockwork_triton.controller.ready_pool import Entry, ReadyPool
from clockwork_triton.controller.replica import Replica

# How many models of a tier are compared.
COMPARED = 32
# A ripe batch that does less than this part of the usual work is left to the batches that are not ripe.
WORTH = 0.7
# What is left of the memory of usual work after each batch.
MEMORY = 0.98

Candidate = tuple[Replica, Choice]


def ripe_ns(replica: Replica, choice: Choice) -> int:
    """From when on a larger batch could not meet the deadline of its most urgent request."""
    bounds_ns = replica.bound_ns
    if choice.size + 1 == len(bounds_ns) or replica.slow[choice.size + 1]:
        return 0
    due_ns = replica.model.queue.entries[choice.first][1]
    return due_ns - bounds_ns[choice.size + 1]


def grows(replica: Replica, choice: Choice, start_ns: int) -> bool:
    """Whether a larger batch could be had later: there is time, and the usual arrivals would fill it."""
    model = replica.model
    waiting = len(model.queue.entries) - choice.first
    size = choice.size
    if model.sizes[size] <= waiting:
        size += 1
        if size == len(model.sizes) or replica.slow[size]:
            return False
    left_ns = model.queue.entries[choice.first][1] - replica.bound_ns[size] - start_ns
    return left_ns > 0 and (model.sizes[size] - waiting) * model.gap_ns < left_ns


class MostWork:
    """Ripe batches first, the one with most rows a second: they can only lose by waiting, while the others
    can still grow, and a batch run small is what wastes a saturated device. But a ripe batch that does much
    less than usual is not worth the time."""

    def __init__(self) -> None:
        self._rows = 0.0
        self._time_ns = 1.0

    def pick(self, pool: ReadyPool, start_ns: int) -> Candidate | None:
        """Among requests with a deadline; None if no batch of them can be met."""
        tops = pool.tops()
        found = self._best(pool, tops, start_ns) if tops else None
        if found is not None:
            replica, choice = found
            self._rows = MEMORY * self._rows + _rows(replica, choice)
            self._time_ns = MEMORY * self._time_ns + replica.expected_ns[choice.size]
        return found

    def _best(self, pool: ReadyPool, tops: Sequence[Entry], start_ns: int) -> Candidate | None:
        """Of the highest priority level."""
        rank = min([rank_in(key) for key, _, _ in tops])
        usual = self._rows / self._time_ns
        ripe: Candidate | None = None
        growing: Candidate | None = None
        ripe_rate = growing_rate = 0.0
        for key, _, top in tops:
            if rank_in(key) != rank:
                continue
            for candidate in _candidates(pool, top.model.tier, rank, start_ns):
                replica, choice = candidate
                rate = _rows(replica, choice) / replica.expected_ns[choice.size]
                if grows(replica, choice, start_ns):
                    if rate > growing_rate:
                        growing, growing_rate = candidate, rate
                elif rate > ripe_rate:
                    ripe, ripe_rate = candidate, rate
            if ripe_rate > WORTH * usual:
                return ripe
        return growing or ripe


def _rows(replica: Replica, choice: Choice) -> int:
    """How many rows the batch holds; of requests of several rows, what it could hold."""
    size = replica.model.sizes[choice.size]
    return size if choice.places else min(size, choice.last - choice.first)


def _candidates(pool: ReadyPool, tier: int, rank: int, start_ns: int) -> list[Candidate]:
    """The largest batches of the models about the top of a tier."""
    found = []
    for key, _, replica in pool.tiers[tier][:COMPARED]:
        if replica.pooled_key != key or not replica.ready or rank_in(key) != rank:
            continue
        model = replica.model
        if not model.queue.entries or model.queue.entries[0][1] >= FAR:
            continue
        choice = most_rows_batch(model.queue, start_ns, replica)
        if choice is None:
            pool.drop(replica)
        else:
            found.append((replica, choice))
    return found
