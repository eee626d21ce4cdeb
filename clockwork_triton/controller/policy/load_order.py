"""Models that wait to be loaded, most wanted first."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush

from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.worker_state import WorkerState

# How many models are looked at for one that a worker could load.
LOOK = 8
# Entries that count for nothing any more are cleared away when they are more than this and than the others.
STALE = 64

Score = tuple[int, float]
"""(rank, wantedness negated); the smallest first."""

Entry = tuple[Score, int, ModelState]
"""With the model's serial number, which is unique, so that models are never compared."""


class LoadOrders:
    """An order for each set of workers that models are bound to: what a worker may not load does not stand
    before what it may. `any`: one of them may hold something."""

    def __init__(self, score: Callable[[ModelState], Score | None]) -> None:
        self._score = score
        self._orders: dict[frozenset[int] | None, LoadOrder] = {}
        self.any = False

    def want(self, model: ModelState) -> None:
        order = self._orders.get(model.spec.workers)
        if order is None:
            order = self._orders[model.spec.workers] = LoadOrder(self._score)
        order.want(model)
        if order.heap:
            self.any = True

    def best(self, worker: WorkerState, suits: Callable[[ModelState], bool]) -> ModelState | None:
        """The most wanted model that suits the worker."""
        found: Entry | None = None
        for workers, order in self._orders.items():
            if order.heap and (workers is None or worker.worker_id in workers):
                entry = order.best(suits)
                if entry is not None and (found is None or entry < found):
                    found = entry
        if found is None:
            self._prune()
            return None
        return found[2]

    def _prune(self) -> None:
        """Those whose workers are away are looked after by nobody else."""
        for workers, order in list(self._orders.items()):
            order.clean()
            if not order.heap:
                del self._orders[workers]
        self.any = bool(self._orders)


class LoadOrder:
    """A heap that is corrected at its top: `score` says how much a model is wanted now, None if not at all.

    A model must be entered again (`want`) when it is wanted more than before.
    """

    def __init__(self, score: Callable[[ModelState], Score | None]) -> None:
        self._score = score
        self.heap: list[Entry] = []
        self._entered: dict[int, Score] = {}

    def want(self, model: ModelState) -> None:
        score = self._score(model)
        if score is not None and self._entered.get(model.serial) != score:
            self._entered[model.serial] = score
            heappush(self.heap, (score, model.serial, model))
            if len(self.heap) > 2 * len(self._entered) + STALE:
                self.heap[:] = [entry for entry in self.heap if self._entered.get(entry[1]) == entry[0]]
                heapify(self.heap)

    def best(self, suits: Callable[[ModelState], bool]) -> Entry | None:
        """The most wanted model that suits, of those about the top."""
        self.clean()
        entered = self._entered
        for entry in sorted(self.heap[:LOOK]):
            score, serial, model = entry
            if entered.get(serial) == score and self._score(model) is not None and suits(model):
                return entry
        return None

    def clean(self) -> None:
        """Sees to it that the top is what it says."""
        heap, entered = self.heap, self._entered
        while heap:
            score, serial, model = heap[0]
            if entered.get(serial) == score:
                current = self._score(model)
                if current == score:
                    return
                heappop(heap)
                del entered[serial]
                if current is not None:
                    self.want(model)
            else:
                heappop(heap)
