"""Whether a worker is slower than usual, whatever it runs."""

from __future__ import annotations

from collections import deque
from math import ceil

WINDOW = 16
# So many of the window are taken for accidents.
SPARED = 1
# What INFERs take by themselves varies by less.
NOTABLE = 1.5
STEP = 0.5
MOST = 4.0
# Of shorter INFERs, one that the system interrupts says nothing of others.
BRIEF_NS = 1_000_000
# It is forgotten when nothing has run for so long: it may be what keeps actions from coming.
FORGET_NS = 250_000_000


class Pace:
    """How many times as long as usual the last INFERs took, all models and batch sizes together.

    A processor that other processes take away slows down everything at once, so what one model has met tells
    of those that have not run since. `stretch`: by how much running times are to be reckoned longer, 1.0 on
    a worker as usual, in steps, so that it seldom changes.
    """

    __slots__ = ("_recent", "_seen_ns", "stretch")

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._seen_ns = 0
        self.stretch = 1.0

    def add(self, measured_ns: int, usual_ns: int, now_ns: int) -> bool:
        """Whether that changes `stretch`."""
        if usual_ns < BRIEF_NS:
            return False
        if now_ns - self._seen_ns > FORGET_NS:
            self._recent.clear()
        self._seen_ns = now_ns
        self._recent.append(measured_ns / usual_ns)
        slowest = sorted(self._recent)[-min(len(self._recent), SPARED + 1)]
        stretch = min(MOST, ceil(slowest / STEP) * STEP) if slowest > NOTABLE else 1.0
        changed = stretch != self.stretch
        self.stretch = stretch
        return changed

    def stale(self, now_ns: int) -> bool:
        """It is to be forgotten."""
        return now_ns - self._seen_ns >= FORGET_NS

    def forget(self) -> None:
        self._recent.clear()
        self.stretch = 1.0
