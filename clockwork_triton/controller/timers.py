"""What the controller wants to do later."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from clockwork_triton.controller.keys import FAR


class Timers:
    """Calls `call(subject, time_ns, now_ns)` at or after its time, in the order of time, then of setting.

    There is no cancelling: a call finds out by itself whether it is still wanted. `next_ns`: when there is
    something to run, FAR if there is nothing.
    """

    __slots__ = ("_heap", "_seq", "next_ns")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Callable[[Any, int, int], None], Any]] = []
        self._seq = 0
        self.next_ns = FAR

    def at(self, time_ns: int, call: Callable[[Any, int, int], None], subject: Any) -> None:
        self._seq += 1
        heappush(self._heap, (time_ns, self._seq, call, subject))
        if time_ns < self.next_ns:
            self.next_ns = time_ns

    def run(self, now_ns: int) -> None:
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            time_ns, _, call, subject = heappop(heap)
            call(subject, time_ns, now_ns)
        self.next_ns = heap[0][0] if heap else FAR
