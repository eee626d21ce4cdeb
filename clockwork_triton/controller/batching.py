"""Which requests of a model to run together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.request_queue import RequestQueue

# How many times the batch size of requests are looked at to fill it.
LOOK = 8


@dataclass(frozen=True, slots=True)
class Choice:
    """Places in a queue, ascending, and the index of the batch size that runs them."""

    indices: range | list[int]
    size: int

    def take_from(self, queue: RequestQueue) -> tuple[Pending, ...]:
        if isinstance(self.indices, range):
            return queue.take_slice(self.indices.start, self.indices.stop)
        return queue.take(self.indices)


def largest_batch(
    queue: RequestQueue, start_ns: int, sizes: Sequence[int], bounds_ns: Sequence[int]
) -> Choice | None:
    """The largest batch, started at `start_ns`, all of whose requests end when due; None if there is none.

    `bounds_ns[i]` is the duration of batch size `sizes[i]`. Requests too near their due time for the batch
    are skipped, not dropped. A size is filled exactly where requests allow it.
    """
    entries = queue.entries
    if not entries:
        return None
    if queue.multi or sizes[0] != 1 or entries[0][0] != entries[-1][0]:
        return _largest_mixed(queue, start_ns, sizes, bounds_ns)
    count = len(entries)
    rank, first_due, _, _ = entries[0]
    for index in range(len(sizes) - 1, -1, -1):
        size = sizes[index]
        if size > count:
            continue
        end = start_ns + bounds_ns[index]
        first = 0 if first_due >= end else bisect_left(entries, (rank, end))
        if count - first >= size:
            return Choice(range(first, first + size), index)
    return None


def _largest_mixed(
    queue: RequestQueue, start_ns: int, sizes: Sequence[int], bounds_ns: Sequence[int]
) -> Choice | None:
    """For requests of several rows or levels: fill each size greedily in order, take the largest filled.

    If no size is filled exactly, the fill that does most rows in a nanosecond is padded.
    """
    best: Choice | None = None
    best_rate = 0.0
    for index in range(len(sizes) - 1, -1, -1):
        places, rows = _fill(queue, sizes[index], start_ns + bounds_ns[index])
        if not places:
            continue
        if rows == sizes[index]:
            if best is None or rows / bounds_ns[index] >= best_rate:
                return Choice(places, index)
            return best
        rate = rows / bounds_ns[index]
        if rate >= best_rate:
            best, best_rate = Choice(places, index), rate
    return best


def _fill(queue: RequestQueue, size: int, end_ns: int) -> tuple[list[int], int]:
    """Places of requests, in order, that are due at `end_ns` or later and fit `size` rows together."""
    places: list[int] = []
    rows = 0
    for place, (_, due, _, pending) in enumerate(islice(queue.entries, LOOK * size)):
        if due >= end_ns and rows + pending.rows <= size:
            places.append(place)
            rows += pending.rows
            if rows == size:
                break
    return places, rows
