"""What was measured, by when it was."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from random import Random

NEAR_NS = 300_000_000


class Moments:
    """Values and the times they were measured at, of which there is one at least."""

    def __init__(self, measured: Iterable[tuple[int, int]]) -> None:
        """`measured`: (time, value), in any order."""
        ordered = sorted(measured)
        assert ordered
        self._times = [time for time, _ in ordered]
        self._values = [value for _, value in ordered]

    def draw(self, rng: Random, time_ns: int) -> int:
        """One of the values that were measured within `NEAR_NS` of this time, or of all if none was: what
        held a machine up does so again, then, and as often.

        The nearest would not do, since what lasts long is near to more of the time.
        """
        first = bisect_left(self._times, time_ns - NEAR_NS)
        end = bisect_right(self._times, time_ns + NEAR_NS)
        if first == end:
            first, end = 0, len(self._times)
        return self._values[first + int(rng.random() * (end - first))]
