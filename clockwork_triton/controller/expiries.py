"""When waiting requests have to be looked at, lest they wait in vain."""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING

from clockwork_triton.controller.keys import FAR

if TYPE_CHECKING:
    from clockwork_triton.controller.model_state import ModelState


class Expiries:
    """At most one moment for each model, its `expiry_ns`: the first at which a request of its queue may have
    become hopeless. Most queues have been served by then, and nobody need be woken for them.

    `first_ns`: no moment is earlier.
    """

    __slots__ = ("_heap", "first_ns")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, ModelState]] = []
        self.first_ns = FAR

    def put(self, model: ModelState, time_ns: int) -> None:
        """Instead of the moment it had, if this is earlier."""
        if time_ns < model.expiry_ns:
            model.expiry_ns = time_ns
            heappush(self._heap, (time_ns, model.serial, model))
            if time_ns < self.first_ns:
                self.first_ns = time_ns

    def next_ns(self) -> int:
        """The first moment of a model that has requests waiting; FAR if there is none."""
        heap = self._heap
        while heap:
            time_ns, _, model = heap[0]
            if model.expiry_ns == time_ns:
                if model.queue.entries:
                    break
                model.expiry_ns = FAR
            heappop(heap)
        self.first_ns = heap[0][0] if heap else FAR
        return self.first_ns

    def take(self, now_ns: int) -> ModelState | None:
        """A model whose moment has come, the earliest first; it has none then."""
        if self.next_ns() > now_ns:
            return None
        _, _, model = heappop(self._heap)
        model.expiry_ns = FAR
        return model
