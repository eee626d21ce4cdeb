"""When actions may start: a queue ordered by the beginning of their windows. Pure: it is told the time."""

from __future__ import annotations

import heapq
from typing import NamedTuple

from clockwork_triton.controller.actions import Action
from clockwork_triton.transport.messages import Part


class Order(NamedTuple):
    """An action as it arrived: with the I/O slot that holds its tensors (INFER), when, and which of them are
    to be fetched."""

    action: Action
    slot: int
    received_ns: int
    parts: tuple[Part, ...] = ()


class Start(NamedTuple):
    """The order is to start now."""

    order: Order


class TooLate(NamedTuple):
    """The order's window has passed; it is to be refused."""

    order: Order


class WaitUntil(NamedTuple):
    """Nothing can start before this time."""

    time_ns: int


class ActionQueue:
    """Orders by (`earliest_ns`, arrival). An order at the head holds up those behind it, as planned."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Order]] = []
        self._arrivals = 0

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, order: Order) -> None:
        heapq.heappush(self._heap, (order.action.earliest_ns, self._arrivals, order))
        self._arrivals += 1

    def next(self, now_ns: int) -> Start | TooLate | WaitUntil | None:
        """What to do at `now_ns`; None where the queue is empty. Who is to start or be refused leaves it."""
        if not self._heap:
            return None
        earliest_ns, _, order = self._heap[0]
        if now_ns > order.action.latest_ns:
            heapq.heappop(self._heap)
            return TooLate(order)
        if now_ns < earliest_ns:
            return WaitUntil(earliest_ns)
        heapq.heappop(self._heap)
        return Start(order)
