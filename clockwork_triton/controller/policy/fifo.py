"""What the policies that do not plan for deadlines have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Iterable
from typing import ClassVar

from clockwork_triton.controller.batching import Choice
from clockwork_triton.controller.keys import NEVER, key_of
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.policy.base import Batch
from clockwork_triton.controller.policy.deadline import DeadlinePolicy
from clockwork_triton.controller.policy.load_order import Score
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import WorkerState


class FifoPolicy(DeadlinePolicy):
    """First come, first served, within a model and across models; what is loaded last is unloaded last.

    A request is given up only when its deadline has passed while it waited.
    """

    plans_deadlines: ClassVar[bool] = False

    def bind(self, state: State) -> None:
        super().bind(state)
        self._lines: dict[int, deque[Pending]] = {}

    @abstractmethod
    def limit(self, replica: Replica, waiting_rows: int, now_ns: int) -> int:
        """The most rows to run now; 0 to wait."""

    def mine(self, pending: Pending, worker: WorkerState) -> bool:
        """Whether the worker may run this request."""
        return True

    def queued(self, pending: Pending, now_ns: int) -> None:
        self._line(pending.model).append(pending)
        super().queued(pending, now_ns)

    def turned_away(self, pending: Pending, now_ns: int) -> bool:
        return False

    def hopeless_ns(self, pending: Pending) -> int:
        return pending.due_ns

    def rekey(self, model: ModelState) -> None:
        line = self._line(model)
        model.key = key_of(line[0].rank, line[0].arrival_ns) if line else NEVER

    def left(self, model: ModelState, requests: tuple[Pending, ...]) -> None:
        self._leave(model, requests)
        super().left(model, requests)

    def take(self, replica: Replica, choice: Choice) -> Batch:
        places = choice.places or range(choice.first, choice.last)
        self._leave(replica.model, [replica.model.queue.entries[place][3] for place in places])
        return super().take(replica, choice)

    def _leave(self, model: ModelState, requests: Iterable[Pending]) -> None:
        line = self._line(model)
        for pending in requests:
            line.remove(pending)

    def _line(self, model: ModelState) -> deque[Pending]:
        """The waiting requests of the model in the order of their arrival."""
        return self._lines.setdefault(model.serial, deque())

    def choose(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        pool = worker.pool
        for _, _, replica in sorted(pool.tops()):
            model = replica.model
            first = [pending for pending in self._line(model) if self.mine(pending, worker)]
            rows = sum(pending.rows for pending in first)
            most = min(self.limit(replica, rows, now_ns) if first else 0, model.sizes[-1])
            if not first:
                pool.drop(replica)
            if most == 0:
                continue
            batch, rows = _fill(first, model.sizes[model.filled_by(min(most, rows))])
            size = model.size_for(rows)
            assert size is not None
            places = tuple(sorted(model.queue.place_of(pending) for pending in batch))
            return self.take(replica, Choice(size, 0, 0, places))
        return None

    def worth_loading(self, model: ModelState, worker: WorkerState, start_ns: int) -> bool:
        return self._loadable(model, worker) is not None

    def _pressed_score(self, model: ModelState) -> Score | None:
        return None

    def load_score(self, model: ModelState, work_ns: int) -> float:
        return -float(self._line(model)[0].arrival_ns)

    def regret(self, replica: Replica) -> float:
        return float(replica.used_ns)

    def regret_of(self, model: ModelState) -> float:
        return 0.0


def _fill(first: list[Pending], most: int) -> tuple[list[Pending], int]:
    """Requests in their order until the next would not fit, and at least one; and their rows."""
    batch = [first[0]]
    rows = first[0].rows
    for pending in first[1:]:
        if rows + pending.rows > most:
            break
        batch.append(pending)
        rows += pending.rows
    return batch, rows
