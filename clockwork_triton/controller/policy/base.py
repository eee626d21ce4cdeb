"""What a policy decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import ClassVar, NamedTuple

from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import Flight, WorkerState


class Batch(NamedTuple):
    """Requests, taken from their model's queue, to run together with batch size `size` (an index).

    `dropped`: requests taken from the queue that are given up for it.
    """

    replica: Replica
    size: int
    requests: tuple[Pending, ...]
    dropped: tuple[Pending, ...] = ()


class Policy(ABC):
    """Decides which requests run where and when, and which models are loaded.

    The controller keeps the books, asks when an executor can be given work, and tells what has changed; a
    policy orders the work. It changes nothing but the queues it takes requests from, the orders it keeps (in
    the fields of models and workers made for that) and its own fields.
    """

    name: ClassVar[str]
    plans_deadlines: ClassVar[bool] = True
    """Batches are picked so that they make their deadlines; their actions must not start any later."""
    state: State

    def bind(self, state: State) -> None:
        """Called once, before anything else."""
        self.state = state

    @abstractmethod
    def queued(self, pending: Pending, now_ns: int) -> None:
        """A request has joined its model's queue."""

    @abstractmethod
    def turned_away(self, pending: Pending, now_ns: int) -> bool:
        """A request is refused at its arrival. Whether its model should be loaded for others like it."""

    @abstractmethod
    def left(self, model: ModelState, requests: tuple[Pending, ...]) -> None:
        """Requests have left the model's queue otherwise than by `pick`."""

    @abstractmethod
    def hopeless_ns(self, pending: Pending) -> int:
        """The first moment at which a waiting request can no longer be met, if all workers that could serve
        it were idle by then; FAR if it never comes."""

    def crowded_out(self, pending: Pending, now_ns: int) -> bool:
        """Whether what waits already leaves no time for this request, which has just arrived."""
        return False

    @abstractmethod
    def loaded(self, replica: Replica, now_ns: int) -> None:
        """A model can be used on a worker from now on."""

    @abstractmethod
    def stranded(self, model: ModelState, now_ns: int) -> None:
        """A model whose requests wait is neither resident nor being loaded any more."""

    @abstractmethod
    def pick(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        """The batch to start at `start_ns` on this worker; None to leave it idle for now."""

    def ended(self, flight: Flight, now_ns: int) -> None:
        """An INFER has succeeded: a place to learn from that."""
        return

    @abstractmethod
    def wants_loads(self) -> bool:
        """Whether any model waits to be loaded."""

    @abstractmethod
    def pick_load(self, worker: WorkerState, now_ns: int) -> ModelState | None:
        """The model to load on this worker now."""

    @abstractmethod
    def load_first(self, worker: WorkerState, model: ModelState) -> bool:
        """Whether, on a worker that cannot overlap them, this LOAD goes before the next batch."""

    @abstractmethod
    def victims(
        self, worker: WorkerState, model: ModelState, *, idle: bool
    ) -> Generator[Replica, None, None]:
        """What could be unloaded to make room for the model, in that order; nothing in use, nothing that has
        not yet served what it was loaded for. `idle`: nothing either for which requests wait."""
