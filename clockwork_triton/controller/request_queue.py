"""The waiting requests of one model, earliest deadline first."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

from clockwork_triton.controller.pending import Pending

Entry = tuple[int, int, int, Pending]
"""(rank, due, sequence number, request); the number is unique, so requests are never compared."""


class RequestQueue:
    """Sorted by priority level, then due time, then arrival. `rows` counts those of all requests;
    `multi` the requests of several rows."""

    __slots__ = ("entries", "multi", "rows")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.rows = 0
        self.multi = 0

    def __len__(self) -> int:
        return len(self.entries)

    def add(self, pending: Pending) -> None:
        entry = (pending.rank, pending.due_ns, pending.seq, pending)
        entries = self.entries
        if not entries or entries[-1] < entry:
            entries.append(entry)
        else:
            insort(entries, entry)
        self.rows += pending.rows
        if pending.rows > 1:
            self.multi += 1

    def place_of(self, pending: Pending) -> int:
        index = bisect_left(self.entries, (pending.rank, pending.due_ns, pending.seq))
        assert self.entries[index][3] is pending
        return index

    def remove(self, pending: Pending) -> None:
        index = self.place_of(pending)
        self.take_slice(index, index + 1)

    def take_slice(self, begin: int, end: int) -> tuple[Pending, ...]:
        """Removes and returns the requests at these places of the order."""
        taken = tuple([entry[3] for entry in self.entries[begin:end]])
        del self.entries[begin:end]
        if self.multi:
            self.rows -= sum([pending.rows for pending in taken])
            self.multi -= sum([pending.rows > 1 for pending in taken])
        else:
            self.rows -= len(taken)
        return taken

    def take(self, indices: Sequence[int]) -> tuple[Pending, ...]:
        """Removes and returns the requests at these ascending places."""
        taken = tuple([self.entries[index][3] for index in indices])
        for index in reversed(indices):
            del self.entries[index]
        self.rows -= sum([pending.rows for pending in taken])
        self.multi -= sum([pending.rows > 1 for pending in taken])
        return taken

    def count(self, rank: int) -> int:
        """The requests of one priority level."""
        return bisect_left(self.entries, (rank + 1,)) - bisect_left(self.entries, (rank,))

    def after(self, pending: Pending) -> Pending | None:
        """The next request of the same priority level."""
        index = bisect_left(self.entries, (pending.rank, pending.due_ns, pending.seq)) + 1
        if index < len(self.entries) and self.entries[index][0] == pending.rank:
            return self.entries[index][3]
        return None

    def most_patient(self) -> Pending:
        """The request that is due last, of whatever level; there must be one."""
        entries = self.entries
        latest = last = entries[-1]
        while last[0] != entries[0][0]:
            last = entries[bisect_left(entries, (last[0],)) - 1]
            if last[1] > latest[1]:
                latest = last
        return latest[3]

    def fronts(self) -> list[Pending]:
        """The most urgent request of each priority level."""
        entries = self.entries
        found = []
        index = 0
        while index < len(entries):
            found.append(entries[index][3])
            index = bisect_left(entries, (entries[index][0] + 1,), index)
        return found
