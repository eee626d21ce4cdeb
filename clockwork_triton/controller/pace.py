"""Whether a worker is slower than usual, whatever it runs."""

from __future__ import annotations

from collections import deque
from math import ceil

# What INFERs take by themselves varies by less.
NOTABLE = 1.5
# So many notable ones are taken for accidents.
SPARED = 1
STEP = 0.5
MOST = 4.0
MOST_KEPT = 64
# Of shorter INFERs, one that the system interrupts says nothing of others.
BRIEF_NS = 1_000_000
# They are forgotten after so long: what they make too long for its deadline never runs, and shows nothing.
FORGET_NS = 1_000_000_000


class Pace:
    """How many times as long as usual INFERs took lately, all models and batch sizes together.

    A processor that other processes take away slows down everything at once, so what one model has met tells
    of those that have not run since. `stretch`: by how much running times are to be reckoned longer, 1.0 on
    a worker as usual, in steps, so that it seldom changes.
    """

    __slots__ = ("_notable", "stretch")

    def __init__(self) -> None:
        self._notable: deque[tuple[int, float]] = deque(maxlen=MOST_KEPT)
        self.stretch = 1.0

    def add(self, measured_ns: int, usual_ns: int, now_ns: int) -> bool:
        """Whether that changes `stretch`."""
        if measured_ns > NOTABLE * usual_ns and usual_ns >= BRIEF_NS:
            self._notable.append((now_ns, measured_ns / usual_ns))
        return bool(self._notable) and self.forget(now_ns)

    def forget(self, now_ns: int) -> bool:
        """Whether it has become time to, and that changes `stretch`."""
        notable = self._notable
        while notable and now_ns - notable[0][0] >= FORGET_NS:
            notable.popleft()
        stretch = 1.0
        if len(notable) > SPARED:
            stretch = min(MOST, ceil(max(ratio for _, ratio in notable) / STEP) * STEP)
        changed = stretch != self.stretch
        self.stretch = stretch
        return changed
