"""A histogram with fixed bounds, as Prometheus keeps them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

LATENCY_BOUNDS_NS = tuple(
    round(ms * 1e6)
    for ms in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 30000)
)


class Histogram:
    """Counts values by the smallest of the ascending `bounds` that is not below them.

    `counts` has one entry more than `bounds`, for what is above them all.
    """

    def __init__(self, bounds: Sequence[int] = LATENCY_BOUNDS_NS) -> None:
        assert list(bounds) == sorted(set(bounds)), "bounds must ascend"
        self.bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0

    def add(self, value: int) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def become_sum(self, parts: Sequence[Histogram]) -> None:
        """Takes the sums of histograms of the same bounds, in place of what it was."""
        assert all(part.bounds == self.bounds for part in parts)
        self.counts = [sum(part.counts[place] for part in parts) for place in range(len(self.counts))]
        self.total = sum(part.total for part in parts)

    @property
    def count(self) -> int:
        return sum(self.counts)
