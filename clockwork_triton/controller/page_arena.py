"""The device memory of one worker, as the controller keeps it."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Where the segments of a model lie: as (first page, length), in the order of the segments."""

    runs: tuple[tuple[int, int], ...]

    @property
    def pages(self) -> tuple[int, ...]:
        """The first page of each segment."""
        return tuple(first for first, _ in self.runs)


class PageArena:
    """Pages 0 to `pages` - 1; each segment takes the first run of free pages that is long enough."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self.free_pages = pages
        self._free: list[tuple[int, int]] = [(0, pages)] if pages else []

    @property
    def used_pages(self) -> int:
        return self.pages - self.free_pages

    def place(self, segments: Sequence[int]) -> Place | None:
        """Takes pages for all segments, or, if they do not fit, none. Long segments are placed first."""
        if sum(segments) > self.free_pages:
            return None
        before = list(self._free)
        runs: list[tuple[int, int]] = [(0, 0)] * len(segments)
        for index in sorted(range(len(segments)), key=lambda i: -segments[i]):
            first = self._take(segments[index])
            if first is None:
                self._free = before
                return None
            runs[index] = (first, segments[index])
        self.free_pages -= sum(segments)
        return Place(tuple(runs))

    def release(self, place: Place) -> None:
        for first, length in place.runs:
            if length:
                self._give(first, length)
                self.free_pages += length

    def reclaim(self, place: Place) -> None:
        """Takes again exactly the pages of a place just released."""
        for first, length in place.runs:
            if length:
                self._take_at(first, length)
                self.free_pages -= length

    def _take(self, length: int) -> int | None:
        if length == 0:
            return 0
        for index, (first, free) in enumerate(self._free):
            if free >= length:
                if free == length:
                    del self._free[index]
                else:
                    self._free[index] = (first + length, free - length)
                return first
        return None

    def _take_at(self, first: int, length: int) -> None:
        index = bisect_left(self._free, (first + 1,)) - 1
        begin, free = self._free[index]
        end = begin + free
        assert begin <= first, "pages are not free"
        assert first + length <= end, "pages are not free"
        rest = [(begin, first - begin), (first + length, end - first - length)]
        self._free[index : index + 1] = [run for run in rest if run[1]]

    def _give(self, first: int, length: int) -> None:
        index = bisect_left(self._free, (first,))
        assert index == 0 or sum(self._free[index - 1]) <= first, "page freed twice"
        assert index == len(self._free) or first + length <= self._free[index][0], "page freed twice"
        if index < len(self._free) and self._free[index][0] == first + length:
            length += self._free.pop(index)[1]
        if index and sum(self._free[index - 1]) == first:
            first, before = self._free.pop(index - 1)
            length += before
        insort(self._free, (first, length))
