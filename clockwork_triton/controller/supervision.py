"""Noticing workers that do not answer."""

from __future__ import annotations

from collections.abc import Callable

from clockwork_triton.controller.actions import Outcome
from clockwork_triton.controller.commands import WorkerStuck
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.loader import Loader
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending, Stage
from clockwork_triton.controller.policy.base import Policy
from clockwork_triton.controller.replica import Residency
from clockwork_triton.controller.requests import Requests
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import WorkerState

# An action may take this many times as long as expected before its worker is suspected.
PATIENCE = 10


class Supervisor:
    """A stuck worker gets no work, and what it holds does not count, until a result of it arrives after all.
    The requests at it are answered when their deadlines pass."""

    def __init__(
        self,
        state: State,
        policy: Policy,
        loader: Loader,
        requests: Requests,
        on_stuck: Callable[[WorkerState, int], None],
    ) -> None:
        self._state = state
        self._policy = policy
        self._loader = loader
        self._requests = requests
        self._on_stuck = on_stuck

    def watch(self, worker: WorkerState) -> None:
        """The worker has been sent something."""
        if worker.watch_ns == FAR:
            self._arm(worker)

    def _arm(self, worker: WorkerState) -> None:
        due_ns = FAR
        for timeline in (worker.exec, worker.link):
            head = timeline.head()
            if head is not None:
                action_id, end_ns = head
                expected_ns = worker.flights[action_id].action.expected_ns
                due_ns = min(due_ns, end_ns + max(self._state.options.stuck_ns, PATIENCE * expected_ns))
        worker.watch_ns = due_ns
        if due_ns < FAR:
            self._state.timers.at(due_ns, self._check, worker)

    def _check(self, worker: WorkerState, time_ns: int, now_ns: int) -> None:
        if worker.watch_ns != time_ns or self._state.workers.get(worker.worker_id) is not worker:
            return
        self._arm(worker)
        if worker.watch_ns <= now_ns:
            self._on_stuck(worker, now_ns)

    def stuck(self, worker: WorkerState, now_ns: int) -> list[ModelState]:
        """The worker gets no work from now on. Returns the models whose requests are stranded by that."""
        worker.watch_ns = FAR
        worker.stuck = True
        self._state.close(worker)
        self._state.out.append(WorkerStuck(worker.worker_id))
        for flight in worker.flights.values():
            for pending in flight.requests:
                at_ns = pending.deadline_ns or now_ns + self._state.options.orphan_ns
                self._state.timers.at(max(at_ns, now_ns), self._give_up, (worker, pending))
        return self.detach(worker, now_ns)

    def recovered(self, worker: WorkerState, now_ns: int) -> None:
        """A result of a stuck worker has arrived."""
        worker.stuck = False
        for replica in worker.replicas.values():
            if replica.residency is Residency.LOADING:
                replica.model.loading[worker.worker_id] = replica
            self._loader.expose(replica, now_ns)

    def detach(self, worker: WorkerState, now_ns: int) -> list[ModelState]:
        """What the worker holds counts no more. Returns the models whose requests are stranded by that."""
        stranded = []
        for replica in worker.replicas.values():
            model = replica.model
            self._loader.hide(replica)
            if model.queue and not model.mask and not model.loading:
                self._policy.stranded(model, now_ns)
                stranded.append(model)
        for model in self._state.models.values():
            if model.queue:
                self._requests.orphaned(model, now_ns)
        return stranded

    def _give_up(self, subject: tuple[WorkerState, Pending], _time_ns: int, now_ns: int) -> None:
        worker, pending = subject
        if worker.stuck and pending.stage is Stage.DISPATCHED and self._holds(worker, pending):
            outcome = Outcome.WORKER_LOST if pending.patient else Outcome.REFUSED
            self._state.answer(pending, outcome, now_ns, message="the worker does not answer")

    @staticmethod
    def _holds(worker: WorkerState, pending: Pending) -> bool:
        return any(pending in flight.requests for flight in worker.flights.values())
