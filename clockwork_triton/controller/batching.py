"""Which requests of a model to run together."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate, islice
from typing import TYPE_CHECKING, NamedTuple

from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.request_queue import RequestQueue

if TYPE_CHECKING:
    from clockwork_triton.controller.replica import Replica

# How many times the batch size of requests are looked at to fill it.
LOOK = 8
# A batch that leaves the most urgent request behind must do so many times the rows a second of one that
# takes it along.
WORTH_LEAVING = 1.1


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


def best_batch(queue: RequestQueue, start_ns: int, replica: Replica) -> Choice | None:
    """The largest batch, started at `start_ns`, all of whose requests end when due; None if there is none.

    A smaller one if it does more rows in the same time. Requests too near their due time for the batch are
    skipped. A size is filled exactly where requests allow it.
    """
    entries = queue.entries
    sizes = replica.model.sizes
    if not entries:
        return None
    if queue.multi or sizes[0] != 1 or entries[0][0] != entries[-1][0]:
        return _best_mixed(queue, start_ns, replica)
    count = len(entries)
    rank, first_due, _, _ = entries[0]
    if first_due < FAR <= entries[-1][1]:
        # Those without a deadline do not ride along: they would make the others wait.
        count = bisect_left(entries, (rank, FAR))
    bounds_ns = replica.bound_ns
    index = replica.model.filled_by(count)
    while index >= 0:
        end_ns = start_ns + bounds_ns[index]
        first = 0 if first_due >= end_ns else bisect_left(entries, (rank, end_ns))
        if count - first >= sizes[index]:
            if replica.slow[index]:
                index -= 1
                continue
            return Choice(index, first, first + sizes[index])
        index -= 1
    return None


def most_rows_batch(queue: RequestQueue, start_ns: int, replica: Replica) -> Choice | None:
    """As `best_batch`, but the next larger batch size, not quite filled, if that does more rows in the same
    time, and those left behind could not make another such batch."""
    best = best_batch(queue, start_ns, replica)
    if best is None or best.places:
        return best
    index = best.size + 1
    sizes = replica.model.sizes
    if index == len(sizes) or replica.slow[index]:
        return best
    entries = queue.entries
    rank = entries[best.first][0]
    last = bisect_left(entries, (rank, FAR))
    if entries[last - 1][1] >= start_ns + 2 * replica.bound_ns[best.size]:
        return best
    first = bisect_left(entries, (rank, start_ns + replica.bound_ns[index]), 0, last)
    rows = last - first
    if rows * replica.expected_ns[best.size] > sizes[best.size] * replica.expected_ns[index]:
        return Choice(index, first, last)
    return best


def urgent_batch(queue: RequestQueue, start_ns: int, replica: Replica) -> Choice | None:
    """As `best_batch`, but the most urgent request is left behind only if that is worth it."""
    best = best_batch(queue, start_ns, replica)
    if best is None or best.first == 0 or best.places:
        return best
    first_due = queue.entries[0][1]
    for index in range(best.size - 1, -1, -1):
        if start_ns + replica.bound_ns[index] <= first_due:
            if replica.rate(best.size) < WORTH_LEAVING * replica.rate(index):
                return Choice(index, 0, replica.model.sizes[index])
            break
    return best


def patient_batch(
    queue: RequestQueue, sizes: Sequence[int], expected_ns: Sequence[int]
) -> tuple[int, tuple[int, ...]]:
    """The largest batch of requests without a deadline, of which there must be one: size index and places.

    It is full, or does more rows in the same time than those that are. `expected_ns`: of each size. They run
    in the order in which they came.
    """
    places = [place for place, entry in enumerate(queue.entries) if entry[1] >= FAR]
    totals = list(accumulate(queue.entries[place][3].rows for place in places))

    def fill(index: int) -> tuple[tuple[int, ...], int]:
        count = bisect_right(totals, sizes[index])
        return tuple(places[:count]), totals[count - 1] if count else 0

    best = _most_rows(sizes, expected_ns, fill)
    # Otherwise the first alone is larger than these sizes.
    return best or (queue.entries[places[0]][3].size, (places[0],))


def _best_mixed(queue: RequestQueue, start_ns: int, replica: Replica) -> Choice | None:
    """For requests of several rows or levels: those of each size are in order, but need not be neighbours."""
    sizes = replica.model.sizes

    def fill(index: int) -> tuple[tuple[int, ...], int]:
        return _fill(queue, sizes[index], start_ns + replica.bound_ns[index])

    best = _most_rows(sizes, replica.expected_ns, fill, replica.slow)
    return None if best is None else Choice(best[0], best[1][0], best[1][-1] + 1, best[1])


def _most_rows(
    sizes: Sequence[int],
    expected_ns: Sequence[int],
    fill: Callable[[int], tuple[tuple[int, ...], int]],
    slow: Sequence[bool] | None = None,
) -> tuple[int, tuple[int, ...]] | None:
    """Of the fills of each size, the one that does most rows in the same time, the largest of several: size
    index and places. None if nothing fits.

    `fill(index)`: places and the rows at them. Sizes below a full one, unless that is `slow`, are not tried.
    """
    best: tuple[int, tuple[int, ...]] | None = None
    best_rate = 0.0
    for index in range(len(sizes) - 1, -1, -1):
        places, rows = fill(index)
        rate = rows / expected_ns[index]
        if rate > best_rate:
            best, best_rate = (index, places), rate
        if rows == sizes[index] and not (slow and slow[index]):
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
