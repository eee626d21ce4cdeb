"""How late things have been lately."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque

WINDOW = 128
# So many of the window are taken for accidents.
SPARED = 2
# Delays are forgotten when none has been seen for so long: they may be what keeps actions from coming.
FORGET_NS = 250_000_000


class Delays:
    """The last delays of one kind, and a bound that all but a few of them kept."""

    __slots__ = ("_bound_ns", "_ordered", "_recent", "_seen_ns")

    def __init__(self) -> None:
        self._recent: deque[int] = deque()
        self._ordered: list[int] = []
        self._bound_ns = 0
        self._seen_ns = 0

    def add(self, delay_ns: int, now_ns: int) -> None:
        recent, ordered = self._recent, self._ordered
        if now_ns - self._seen_ns > FORGET_NS:
            recent.clear()
            ordered.clear()
        self._seen_ns = now_ns
        if len(recent) == WINDOW:
            del ordered[bisect_left(ordered, recent.popleft())]
        recent.append(delay_ns)
        insort(ordered, delay_ns)
        self._bound_ns = ordered[-min(len(ordered), SPARED + 1)]

    def bound_ns(self, now_ns: int) -> int:
        """0 if nothing was seen lately."""
        return self._bound_ns if now_ns - self._seen_ns <= FORGET_NS else 0
