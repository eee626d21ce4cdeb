"""The brain: events in, commands out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from clockwork_triton.controller.commands import Calibrated, Command, ModelGone, WakeAt
from clockwork_triton.controller.dispatcher import Dispatcher
from clockwork_triton.controller.events import (
    CalibrationAsked,
    Event,
    ModelAdded,
    ModelRetired,
    RequestArrived,
    RequestCancelled,
    RequestsArrived,
    ResultArrived,
    TimePassed,
    WorkerJoined,
    WorkerLost,
)
from clockwork_triton.controller.keys import FAR, rank_of
from clockwork_triton.controller.loader import Loader
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.policy.base import Policy
from clockwork_triton.controller.replica import Residency
from clockwork_triton.controller.requests import Requests
from clockwork_triton.controller.results import Results
from clockwork_triton.controller.snapshot import Snapshot, snapshot
from clockwork_triton.controller.state import State
from clockwork_triton.controller.supervision import Supervisor
from clockwork_triton.controller.worker_state import WorkerState


class Controller:
    """Decides every LOAD, UNLOAD and INFER. The same events at the same times give the same commands.

    Every request that arrives is answered exactly once; commands are to be carried out in their order.
    """

    def __init__(self, policy: Policy, options: Options | None = None) -> None:
        self._state = State(options or Options())
        policy.bind(self._state)
        self._policy = policy
        self._loader = Loader(self._state, policy)
        self._requests = Requests(self._state, policy)
        self._supervisor = Supervisor(self._state, policy, self._loader, self._requests, self._worker_stuck)
        self._dispatcher = Dispatcher(self._state, policy, self._loader, self._supervisor, self._requests)
        self._results = Results(
            self._state, policy, self._requests, self._loader, self._dispatcher, self._supervisor
        )
        self._retiring: dict[int, ModelState] = {}
        self._wake_ns = FAR
        self._handlers: dict[type, Callable[[Any, int], None]] = {
            RequestArrived: self._request_arrived,
            RequestsArrived: self._requests_arrived,
            RequestCancelled: self._request_cancelled,
            ResultArrived: self._result_arrived,
            ModelAdded: self._model_added,
            CalibrationAsked: self._calibration_asked,
            ModelRetired: self._model_retired,
            WorkerJoined: self._worker_joined,
            WorkerLost: self._worker_lost,
            TimePassed: self._time_passed,
        }

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """`now_ns` never decreases from one call to the next."""
        state = self._state
        out: list[Command] = []
        state.out = out
        timers = state.timers
        if self._wake_ns <= now_ns:
            self._wake_ns = FAR
        if timers.next_ns <= now_ns:
            timers.run(now_ns)
        if state.openings.next_ns <= now_ns:
            state.openings.run(now_ns)
        if state.expiries.first_ns <= now_ns:
            self._requests.expire_due(now_ns)
        self._handlers[type(event)](event, now_ns)
        if self._retiring:
            self._retire(now_ns)
        wake_ns = min(timers.next_ns, self._wake_ns)
        if state.expiries.first_ns < wake_ns:
            wake_ns = min(wake_ns, state.expiries.next_ns())
        if wake_ns < self._wake_ns:
            self._wake_ns = wake_ns
            out.append(WakeAt(wake_ns))
        return out

    def snapshot(self) -> Snapshot:
        """What people and metrics want to know; takes time in proportion to the number of models."""
        return snapshot(self._state)

    def queued(self, model_id: int, priority: int) -> int:
        """Requests of a model that wait at a priority level; 0 for a model that is not there."""
        model = self._state.models.get(model_id)
        return model.queue.count(rank_of(priority)) if model is not None else 0

    def pages_used(self, worker_id: int) -> int:
        """Pages of its memory that are taken; 0 for a worker that is not there."""
        worker = self._state.workers.get(worker_id)
        return worker.arena.used_pages if worker is not None else 0

    def _request_arrived(self, event: RequestArrived, now_ns: int) -> None:
        model = self._requests.arrive(event.request, now_ns)
        if model is not None:
            self._dispatcher.queued(model, now_ns)

    def _requests_arrived(self, event: RequestsArrived, now_ns: int) -> None:
        joined = {}
        for request in event.requests:
            model = self._requests.arrive(request, now_ns)
            if model is not None:
                joined[model.model_id] = model
        for model in joined.values():
            self._dispatcher.queued(model, now_ns)

    def _request_cancelled(self, event: RequestCancelled, now_ns: int) -> None:
        self._requests.cancel(event.request_id, now_ns)

    def _result_arrived(self, event: ResultArrived, now_ns: int) -> None:
        self._results.arrive(event.result, now_ns)

    def _time_passed(self, _event: TimePassed, _now_ns: int) -> None:
        """The timers have run before."""

    def _model_added(self, event: ModelAdded, now_ns: int) -> None:
        spec = event.model
        model = self._state.models.get(spec.model_id)
        if model is None:
            self._state.models[spec.model_id] = ModelState(spec, self._state.serial())
            return
        model.renew(spec)
        model.retired = False
        self._retiring.pop(spec.model_id, None)
        for worker in self._state.workers.values():
            replica = worker.replicas.get(spec.model_id)
            estimate = spec.estimate_on(worker.spec)
            if replica is not None and estimate is not None:
                replica.renew(estimate, model.sizes)
                self._loader.expose(replica, now_ns)
        if model.queue:
            self._dispatcher.queued(model, now_ns)

    def _calibration_asked(self, event: CalibrationAsked, now_ns: int) -> None:
        model = self._state.models.get(event.model_id)
        if model is None:
            error = "unknown model"
            self._state.out.append(Calibrated(event.model_id, event.device_kind, (), {}, error))
            return
        self._dispatcher.calibrator.ask(event, model, now_ns)
        self._state.timers.run(now_ns)

    def _model_retired(self, event: ModelRetired, now_ns: int) -> None:
        model = self._state.models.get(event.model_id)
        if model is None:
            self._state.out.append(ModelGone(event.model_id))
            return
        model.retired = True
        self._retiring[model.model_id] = model
        self._dispatcher.calibrator.abandon(model, "the model was retired")

    def _worker_joined(self, event: WorkerJoined, now_ns: int) -> None:
        self._worker_lost(WorkerLost(event.worker.worker_id), now_ns)
        worker = self._state.add_worker(event.worker)
        for model in self._state.models.values():
            if model.queue and not model.mask and not model.loading:
                self._requests.servable(model, now_ns)
        self._dispatcher.calibrator.worker_joined(now_ns)
        self._dispatcher.fill(worker, now_ns)
        self._state.timers.run(now_ns)

    def _worker_lost(self, event: WorkerLost, now_ns: int) -> None:
        worker = self._state.remove_worker(event.worker_id)
        if worker is not None:
            self._results.lost(worker, now_ns)
            self._dispatcher.calibrator.worker_lost(worker, now_ns)
            self._state.timers.run(now_ns)

    def _worker_stuck(self, worker: WorkerState, now_ns: int) -> None:
        for model in self._supervisor.stuck(worker, now_ns):
            self._dispatcher.queued(model, now_ns)

    def _retire(self, now_ns: int) -> None:
        """Unloads retired models that nothing waits for, and lets go of those that are nowhere any more."""
        for model in list(self._retiring.values()):
            if model.queue or model.in_flight:
                continue
            present = [
                worker.replicas[model.model_id]
                for worker in self._state.workers.values()
                if model.model_id in worker.replicas
            ]
            for replica in present:
                if replica.residency is Residency.RESIDENT and not replica.in_flight:
                    self._loader.unload(replica, now_ns)
            if not model.unloading and all(
                replica.residency is Residency.ABSENT and not replica.in_flight for replica in present
            ):
                self._forget(model)

    def _forget(self, model: ModelState) -> None:
        for worker in self._state.workers.values():
            worker.replicas.pop(model.model_id, None)
        del self._retiring[model.model_id]
        del self._state.models[model.model_id]
        self._state.out.append(ModelGone(model.model_id))
