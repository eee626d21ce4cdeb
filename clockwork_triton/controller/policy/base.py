"""What a policy decides."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import WorkerState


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests, taken from their model's queue, to run together with batch size `size` (an index)."""

    replica: Replica
    size: int
    requests: tuple[Pending, ...]


class Policy(ABC):
    """Decides which requests run where and when, and which models are loaded.

    The controller keeps the books, asks when an executor can be given work, and tells what has changed; a
    policy orders the work. It changes nothing but the queues it takes requests from and its own fields.
    """

    name: ClassVar[str]
    state: State

    def bind(self, state: State) -> None:
        """Called once, before anything else."""
        self.state = state

    @abstractmethod
    def admits(self, pending: Pending, now_ns: int) -> bool:
        """Whether a request that arrives now can be met; else it is refused."""

    @abstractmethod
    def queued(self, pending: Pending, now_ns: int) -> None:
        """A request has joined its model's queue."""

    @abstractmethod
    def unqueued(self, model: ModelState) -> None:
        """Requests have left the model's queue otherwise than by `pick`."""

    @abstractmethod
    def hopeless_ns(self, pending: Pending) -> int:
        """The first moment at which a waiting request can no longer be met; FAR if it never comes."""

    @abstractmethod
    def loaded(self, replica: Replica, now_ns: int) -> None:
        """A model can be used on a worker from now on."""

    @abstractmethod
    def stranded(self, model: ModelState, now_ns: int) -> None:
        """A model whose requests wait is neither resident nor being loaded any more."""

    @abstractmethod
    def pick(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        """The batch to start at `start_ns` on this worker; None to leave it idle for now."""

    @abstractmethod
    def pick_load(self, worker: WorkerState, now_ns: int) -> ModelState | None:
        """The model to load on this worker now."""

    @abstractmethod
    def load_first(self, worker: WorkerState, model: ModelState) -> bool:
        """Whether, on a worker that cannot overlap them, this LOAD goes before the next batch."""

    @abstractmethod
    def victim(self, worker: WorkerState, now_ns: int, spared: set[int]) -> Replica | None:
        """The resident model to unload next to make room; none of `spared`, none in use, none that owes."""
