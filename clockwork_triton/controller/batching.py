"""Which requests of a model to run together."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple

from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.request_queue import RequestQueue

# How many times the batch size of requests are looked at to fill it.
LOOK = 8
# A batch that leaves the most urgent request behind must do so many times the rows a second of one that
# takes it along.
WORTH_LEAVING = 1.3


class Choice(NamedTuple):
    """Requests of a queue: those from place `first` to before `last`, or those at `places` if there are any.

    `size`: the index of the batch size that runs them.
    """

    size: int
    first: int
    last: int
    places: tuple[int, ...] = ()

    def take_from(self, queue: RequestQueue) -> tuple[Pending, ...]:
        return queue.take(self.places) if self.places else queue.take_slice(self.first, self.last)


def largest_batch(
    queue: RequestQueue, start_ns: int, sizes: Sequence[int], bounds_ns: Sequence[int]
) -> Choice | None:
    """The largest batch, started at `start_ns`, all of whose requests end when due; None if there is none.

    `bounds_ns[i]` is the duration of batch size `sizes[i]`. Requests too near their due time for the batch
    are skipped. A size is filled exactly where requests allow it.
    """
    entries = queue.entries
    if not entries:
        return None
    if queue.multi or sizes[0] != 1 or entries[0][0] != entries[-1][0]:
        return _largest_mixed(queue, start_ns, sizes, bounds_ns)
    count = len(entries)
    rank, first_due, _, _ = entries[0]
    if first_due < FAR <= entries[-1][1]:
        # Those without a deadline do not ride along: they would make the others wait.
        count = bisect_left(entries, (rank, FAR))
    for index in range(len(sizes) - 1, -1, -1):
        size = sizes[index]
        if size > count:
            continue
        end_ns = start_ns + bounds_ns[index]
        first = 0 if first_due >= end_ns else bisect_left(entries, (rank, end_ns))
        if count - first >= size:
            return Choice(index, first, first + size)
    return None


def urgent_batch(
    queue: RequestQueue, start_ns: int, sizes: Sequence[int], bounds_ns: Sequence[int]
) -> Choice | None:
    """As `largest_batch`, but the most urgent request is left behind only if that is worth it."""
    largest = largest_batch(queue, start_ns, sizes, bounds_ns)
    if largest is None or largest.first == 0 or largest.places:
        return largest
    first_due = queue.entries[0][1]
    for index in range(largest.size - 1, -1, -1):
        if start_ns + bounds_ns[index] <= first_due:
            rate = sizes[index] / bounds_ns[index]
            if sizes[largest.size] / bounds_ns[largest.size] < WORTH_LEAVING * rate:
                return Choice(index, 0, sizes[index])
            break
    return largest


def patient_batch(queue: RequestQueue, sizes: Sequence[int]) -> tuple[int, tuple[int, ...]]:
    """The largest batch of requests without a deadline, of which there must be one: size index and places."""
    places = [place for place, entry in enumerate(queue.entries) if entry[1] >= FAR]
    rows = [queue.entries[place][3].rows for place in places]
    for index in range(len(sizes) - 1, -1, -1):
        count = 0
        total = 0
        while count < len(rows) and total + rows[count] <= sizes[index]:
            total += rows[count]
            count += 1
        if total == sizes[index] or (count and index == 0):
            return index, tuple(places[:count])
    first = queue.entries[places[0]][3]
    return first.size, (places[0],)


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
        rate = rows / bounds_ns[index]
        if rate >= best_rate:
            best, best_rate = Choice(index, places[0], places[-1] + 1, places), rate
        if rows == sizes[index]:
            break
    return best


def _fill(queue: RequestQueue, size: int, end_ns: int) -> tuple[tuple[int, ...], int]:
    """Places of requests, in order, that are due at `end_ns` or later and fit `size` rows together."""
    places: list[int] = []
    rows = 0
    for place, (_, due, _, pending) in enumerate(islice(queue.entries, LOOK * size)):
        if due >= end_ns and rows + pending.rows <= size:
            places.append(place)
            rows += pending.rows
            if rows == size:
                break
    return tuple(places), rows
