"""What a result of an action changes."""

from __future__ import annotations

from collections.abc import Collection

from clockwork_triton.controller.actions import ActionKind, ActionResult, Outcome, Status
from clockwork_triton.controller.dispatcher import Dispatcher
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.loader import Loader
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Stage
from clockwork_triton.controller.policy.base import Policy
from clockwork_triton.controller.replica import Residency
from clockwork_triton.controller.requests import Requests
from clockwork_triton.controller.state import State
from clockwork_triton.controller.supervision import Supervisor
from clockwork_triton.controller.worker_state import CLOCK_KEPT_NS, Flight, WorkerState

# After so many LOADs of a model have failed one after the other, its waiting requests fail.
MAX_LOAD_ERRORS = 2
# A model that has ended its worker so often, without an INFER that succeeded, is not run for so long: each
# time costs all other models seconds.
MAX_CRASHES = 3
BARRED_NS = 60_000_000_000


class Results:
    """A device error is answered by one more try, on any worker; then the request fails."""

    def __init__(
        self,
        state: State,
        policy: Policy,
        requests: Requests,
        loader: Loader,
        dispatcher: Dispatcher,
        supervisor: Supervisor,
    ) -> None:
        self._state = state
        self._policy = policy
        self._requests = requests
        self._loader = loader
        self._dispatcher = dispatcher
        self._supervisor = supervisor

    def arrive(self, result: ActionResult, now_ns: int) -> None:
        """Results of unknown workers or actions (of a worker given up as lost) are ignored."""
        worker = self._state.workers.get(result.worker_id)
        flight = worker.flights.pop(result.action_id, None) if worker is not None else None
        if worker is None or flight is None:
            return
        if result.clock_mhz:
            self._clocked(worker, result.clock_mhz, now_ns)
        kind = flight.action.kind
        timeline = worker.exec if kind is ActionKind.INFER else worker.link
        timeline.remove(result.action_id, result.end_ns if result.status is Status.OK else None)
        if worker.stuck:
            self._supervisor.recovered(worker, now_ns)
        requeued: Collection[int] = ()
        if kind is ActionKind.INFER:
            requeued = self._infer(worker, flight, result, now_ns)
        elif kind is ActionKind.LOAD:
            self._load(worker, flight, result, now_ns)
        else:
            flight.replica.model.unloading -= 1
        if flight.calibration is not None:
            self._dispatcher.calibrator.result(flight, result, now_ns)
        self._dispatcher.fill(worker, now_ns)
        for model_id in requeued:
            self._dispatcher.queued(self._state.models[model_id], now_ns)

    def _clocked(self, worker: WorkerState, mhz: int, now_ns: int) -> None:
        worker.clock(mhz, now_ns)
        if worker.fading_ns == FAR:
            self._watch_clock(worker)

    def _watch_clock(self, worker: WorkerState) -> None:
        worker.fading_ns = worker.clocked_ns + CLOCK_KEPT_NS
        self._state.timers.at(worker.fading_ns, self._clock_fades, worker)

    def _clock_fades(self, worker: WorkerState, _time_ns: int, now_ns: int) -> None:
        if self._state.workers.get(worker.worker_id) is not worker:
            return
        if now_ns - worker.clocked_ns < CLOCK_KEPT_NS:
            self._watch_clock(worker)
            return
        worker.fading_ns = FAR
        worker.forget_clock()

    def lost(self, worker: WorkerState, now_ns: int) -> None:
        """The worker is gone, with all it held."""
        suspect = self._suspect(worker)
        flights = list(worker.flights.values())
        worker.flights.clear()
        affected = {model.model_id: model for model in self._supervisor.detach(worker, now_ns)}
        for flight in flights:
            flight.replica.model.in_flight -= len(flight.requests)
            if flight.action.kind is ActionKind.UNLOAD:
                flight.replica.model.unloading -= 1
            for pending in flight.requests:
                if pending.stage is Stage.DISPATCHED:
                    model = self._requests.retry(
                        pending, now_ns, Outcome.WORKER_LOST, "the worker of this request was lost"
                    )
                    if model is not None:
                        affected[model.model_id] = model
        if suspect is not None:
            suspect.crashes += 1
            if suspect.crashes >= MAX_CRASHES:
                self._requests.bar(suspect, now_ns, now_ns + BARRED_NS)
        for _, model in sorted(affected.items()):
            self._dispatcher.queued(model, now_ns)

    def _suspect(self, worker: WorkerState) -> ModelState | None:
        """Whose action was running; None where that may be one of two."""
        heads = [timeline.head() for timeline in (worker.exec, worker.link)]
        running = {worker.flights[head[0]].replica.model.model_id for head in heads if head is not None}
        return self._state.models.get(running.pop()) if len(running) == 1 else None

    def _infer(
        self, worker: WorkerState, flight: Flight, result: ActionResult, now_ns: int
    ) -> Collection[int]:
        """Returns the ids of models whose requests wait again."""
        replica = flight.replica
        worker.infers -= 1
        replica.in_flight -= 1
        replica.model.in_flight -= len(flight.requests)
        status = result.status
        if status is Status.OK:
            replica.model.crashes = 0
            self._state.returns.add(max(0, now_ns - result.end_ns), now_ns)
            if flight.calibration is None:
                worker.starts.add(max(0, result.begin_ns - flight.start_ns), now_ns)
            sizes = replica.model.sizes
            if flight.size < len(sizes) and sizes[flight.size] == flight.action.batch_size:
                replica.ran(flight.size, max(1, result.end_ns - result.begin_ns), now_ns)
            self._policy.ended(flight, now_ns)
            for pending in flight.requests:
                if pending.stage is Stage.DISPATCHED:
                    self._state.answer(pending, Outcome.OK, now_ns, result.action_id)
            return ()
        if status is Status.TOO_LATE:
            self._state.counters.too_late += 1
            # When it would have started is not known, only that it would have been after its latest.
            worker.starts.add(max(0, min(now_ns, flight.action.latest_ns) - flight.start_ns), now_ns)
        if status is Status.NOT_LOADED and flight.epoch == replica.epoch:
            self._not_there(flight, now_ns)
        again: set[int] = set()
        message = result.message or status.name
        for pending in flight.requests:
            if pending.stage is not Stage.DISPATCHED:
                continue
            model: ModelState | None = None
            if status is Status.TOO_LATE:
                model = self._requests.requeue(pending, now_ns)
            elif status in (Status.NOT_LOADED, Status.DEVICE_ERROR):
                model = self._requests.retry(pending, now_ns, Outcome.FAILED, message)
            else:
                self._state.answer(pending, Outcome.FAILED, now_ns, message=message)
            if model is not None:
                again.add(model.model_id)
        return sorted(again)

    def _not_there(self, flight: Flight, now_ns: int) -> None:
        """The worker does not hold what it was thought to hold."""
        replica = flight.replica
        if replica.residency is Residency.RESIDENT:
            assert replica.place is not None
            replica.worker.arena.release(replica.place)
            self._loader.forget(replica)
            self._strand(replica.model, now_ns)

    def _load(self, worker: WorkerState, flight: Flight, result: ActionResult, now_ns: int) -> None:
        replica, model = flight.replica, flight.replica.model
        assert replica.residency is Residency.LOADING
        if result.status is Status.OK:
            model.load_errors = 0
            if flight.calibration is None:
                replica.load.add(max(1, result.end_ns - result.begin_ns))
            self._loader.loaded(replica, now_ns)
            return
        assert replica.place is not None
        worker.arena.release(replica.place)
        self._loader.forget(replica)
        if result.status is Status.ALREADY_LOADED:
            self._loader.send_unload(replica, now_ns)
        if result.status is not Status.TOO_LATE:
            model.load_errors += 1
        if model.load_errors >= MAX_LOAD_ERRORS:
            model.load_errors = 0
            self._requests.fail_all(model, now_ns, result.message or result.status.name)
        self._strand(model, now_ns)

    def _strand(self, model: ModelState, now_ns: int) -> None:
        if model.queue and not model.mask and not model.loading:
            self._policy.stranded(model, now_ns)
            self._dispatcher.place(model, now_ns)
