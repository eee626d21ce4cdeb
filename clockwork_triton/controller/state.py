"""Everything the controller knows, shared by its parts."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from clockwork_triton.controller.actions import Action, ActionKind, Outcome
from clockwork_triton.controller.commands import AnswerRequest, Command, SendAction
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.pending import Pending, Stage
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.timers import Timers
from clockwork_triton.controller.worker_state import Flight, WorkerState


@dataclass(slots=True)
class Counters:
    """Since the start. `late`: answered OK after the deadline."""

    requests: int = 0
    ok: int = 0
    late: int = 0
    refused: int = 0
    cancelled: int = 0
    worker_lost: int = 0
    failed: int = 0
    loads: int = 0
    unloads: int = 0
    infers: int = 0
    too_late: int = 0

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


class State:
    """`out` collects the commands of the event under way."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.models: dict[int, ModelState] = {}
        self.workers: dict[int, WorkerState] = {}
        self.pending: dict[int, Pending] = {}
        self.timers = Timers()
        self.counters = Counters()
        self.out: list[Command] = []
        self._action_id = 0

    def send(
        self,
        kind: ActionKind,
        replica: Replica,
        window_ns: tuple[int, int],
        expected_ns: int,
        *,
        size: int = 0,
        batch_size: int = 0,
        requests: tuple[Pending, ...] = (),
        pages: tuple[int, ...] = (),
    ) -> Flight:
        self._action_id += 1
        worker, model = replica.worker, replica.model
        action = Action(
            self._action_id,
            kind,
            worker.worker_id,
            model.model_id,
            window_ns[0],
            window_ns[1],
            expected_ns,
            batch_size,
            tuple([pending.request_id for pending in requests]),
            pages,
        )
        flight = Flight(action, replica, replica.epoch, size, requests)
        worker.flights[action.action_id] = flight
        self.out.append(SendAction(action))
        return flight

    def answer(
        self,
        pending: Pending,
        outcome: Outcome,
        now_ns: int,
        action_id: int | None = None,
        message: str = "",
    ) -> None:
        """The request must have left its model's queue."""
        assert pending.stage is not Stage.ANSWERED
        pending.stage = Stage.ANSWERED
        del self.pending[pending.request_id]
        counters = self.counters
        if outcome is Outcome.OK:
            counters.ok += 1
            if pending.deadline_ns is not None and now_ns > pending.deadline_ns:
                counters.late += 1
        elif outcome is Outcome.REFUSED:
            counters.refused += 1
        elif outcome is Outcome.CANCELLED:
            counters.cancelled += 1
        elif outcome is Outcome.WORKER_LOST:
            counters.worker_lost += 1
        else:
            counters.failed += 1
        self.out.append(AnswerRequest(pending.request_id, outcome, action_id, message))

    def replica(self, model: ModelState, worker: WorkerState) -> Replica | None:
        """The model on the worker, resident or not; None if that kind of worker cannot run it."""
        known = worker.replicas.get(model.model_id)
        estimate = model.spec.estimates.get(worker.spec.device_kind)
        if estimate is None:
            return None
        if known is None:
            known = worker.replicas[model.model_id] = Replica(model, worker)
            known.renew(estimate, model.sizes)
        return known
