"""Calls whose time is up."""

from __future__ import annotations

from collections.abc import Mapping

from clockwork_triton.frontend.http2.alarm import Alarm
from clockwork_triton.frontend.http2.call import Call
from clockwork_triton.frontend.http2.clock import Clock


class Deadlines:
    """Expires calls in time with one timer for all: it fires at the earliest deadline it was told of, by
    which time most calls are answered."""

    def __init__(self, clock: Clock, calls: Mapping[int, Call]) -> None:
        self._clock = clock
        self._calls = calls
        self._alarm = Alarm(clock, self._sweep)
        self._next_ns = 0

    def watch(self, deadline_ns: int) -> None:
        if not self._alarm.is_set or deadline_ns < self._next_ns:
            self._next_ns = deadline_ns
            self._alarm.set(max(0, deadline_ns - self._clock.now_ns()))

    def cancel(self) -> None:
        self._alarm.cancel()

    def _sweep(self) -> None:
        now_ns = self._clock.now_ns()
        earliest: int | None = None
        for call in list(self._calls.values()):
            deadline_ns = call.deadline_ns
            if deadline_ns is None or call.done:
                continue
            if deadline_ns <= now_ns:
                call.expire()
            elif earliest is None or deadline_ns < earliest:
                earliest = deadline_ns
        if earliest is not None:
            self.watch(earliest)
