"""How far the peer's clock is from ours, learnt from the messages themselves.

Every message carries the sender's time and the smallest delta (time received minus time sent, each on its
own clock) that the sender has seen lately. A delta is the offset between the clocks plus the time on the
way; the smallest ones, seen from both ends, cancel the offset in their sum and the way in their difference.
The method is that of Clockwork (OSDI 2020), there with the same window.
"""

from __future__ import annotations

from collections import deque

WINDOW = 1024


class SlidingMinimum:
    """The smallest of the last `window` values added. Adding costs amortised constant time."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._count = 0
        # Values that no later value undercuts, with the position at which each leaves the window.
        self._rising: deque[tuple[int, int]] = deque()

    def add(self, value: int) -> None:
        rising = self._rising
        while rising and rising[-1][1] >= value:
            rising.pop()
        self._count += 1
        rising.append((self._count + self._window, value))
        if rising[0][0] <= self._count:
            rising.popleft()

    @property
    def value(self) -> int | None:
        return self._rising[0][1] if self._rising else None


class ClockOffset:
    """Estimates the peer's clock. `same_clock`: the peer is on this host, so the offset is nought.

    `offset_ns` is what to add to a time of the peer's to have it on our clock, 0 until both sides have
    heard of each other; `round_trip_ns` is the smallest time there and back, None until then. Where the clock
    is the same nothing is measured.
    """

    def __init__(self, same_clock: bool = False, window: int = WINDOW) -> None:
        self._same_clock = same_clock
        self._local = SlidingMinimum(window)
        self._remote = SlidingMinimum(window)

    def observe(self, sent_ns: int, received_ns: int, peer_min_delta_ns: int) -> None:
        """A message arrived; `peer_min_delta_ns` is what it says of the other direction, 0 for nothing."""
        if self._same_clock:
            return
        self._local.add(received_ns - sent_ns)
        if peer_min_delta_ns:
            self._remote.add(peer_min_delta_ns)

    @property
    def min_delta_ns(self) -> int:
        """What our messages tell the peer; 0 while none has come from it."""
        return self._local.value or 0

    @property
    def offset_ns(self) -> int:
        if self._same_clock:
            return 0
        local, remote = self._local.value, self._remote.value
        if local is None or remote is None:
            return 0
        return (local - remote) // 2

    @property
    def round_trip_ns(self) -> int | None:
        local, remote = self._local.value, self._remote.value
        return None if local is None or remote is None else local + remote
