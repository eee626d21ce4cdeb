"""What was measured, by when it was."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable


class Moments:
    """Values and the times they were measured at, of which there is one at least."""

    def __init__(self, measured: Iterable[tuple[int, int]]) -> None:
        """`measured`: (time, value), in any order."""
        ordered = sorted(measured)
        assert ordered
        self._times = [time for time, _ in ordered]
        self._values = [value for _, value in ordered]

    def at(self, time_ns: int) -> int:
        """The value that was measured nearest to this time."""
        after = bisect_left(self._times, time_ns)
        if after == 0:
            return self._values[0]
        if after == len(self._times):
            return self._values[-1]
        before = after - 1
        return self._values[after if self._times[after] - time_ns < time_ns - self._times[before] else before]
