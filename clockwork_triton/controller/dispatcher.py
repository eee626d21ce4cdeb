"""Giving executors work whenever they can take more."""

from __future__ import annotations

from clockwork_triton.controller.actions import ActionKind
from clockwork_triton.controller.calibration import Calibrator
from clockwork_triton.controller.loader import Loader
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import FAR, Stage
from clockwork_triton.controller.policy.base import Batch, Policy
from clockwork_triton.controller.state import State
from clockwork_triton.controller.supervision import Supervisor
from clockwork_triton.controller.worker_state import WorkerState


class Dispatcher:
    """Keeps this true between events: no worker that could be given work now has work waiting for it."""

    def __init__(self, state: State, policy: Policy, loader: Loader, supervisor: Supervisor) -> None:
        self._state = state
        self._policy = policy
        self._loader = loader
        self._supervisor = supervisor
        self.calibrator = Calibrator(state, loader, self.fill)

    def queued(self, model: ModelState, now_ns: int) -> None:
        """A request of the model has been queued: give it to a worker, or have the model loaded."""
        if model.resident:
            holders = [replica.worker for replica in model.resident.values()]
            if len(holders) > 1:
                holders.sort(key=lambda worker: worker.exec.available(now_ns))
            for worker in holders:
                if not model.queue:
                    break
                self.fill(worker, now_ns)
        elif not model.loading:
            self.place(model, now_ns)

    def place(self, model: ModelState, now_ns: int) -> None:
        """Has the model loaded by the worker that can begin soonest."""
        workers = sorted(
            self._state.workers.values(),
            key=lambda worker: (worker.link.available(now_ns), worker.arena.used_pages, worker.worker_id),
        )
        for worker in workers:
            if model.loading or model.resident or not model.queue:
                break
            self.fill(worker, now_ns)

    def fill(self, worker: WorkerState, now_ns: int) -> None:
        """Plans as much work on the worker as its horizon holds."""
        if worker.stuck:
            return
        overlaps = worker.exec is not worker.link
        if self.calibrator.wanted(worker):
            self._calibrate_in_turn(worker, now_ns)
        while self._load(worker, now_ns, overlaps) or self._infer(worker, now_ns):
            pass
        if self.calibrator.wanted(worker) and not worker.exec and not worker.link:
            self._calibrate(worker, now_ns)
        self._wake(worker, now_ns)

    def _load(self, worker: WorkerState, now_ns: int, overlaps: bool) -> bool:
        if not worker.may_load(now_ns, self._state.options):
            return False
        model = self._policy.pick_load(worker, now_ns)
        if model is None or not (overlaps or self._policy.load_first(worker, model)):
            return False
        replica = self._state.replica(model, worker)
        assert replica is not None
        flight = self._loader.load(replica, now_ns)
        if flight is None:
            return False
        self._supervisor.watch(worker)
        return True

    def _infer(self, worker: WorkerState, now_ns: int) -> bool:
        options = self._state.options
        if not worker.may_infer(now_ns, options):
            return False
        start_ns = max(now_ns + options.lead_ns, worker.exec.available(now_ns))
        batch = self._policy.pick(worker, start_ns, now_ns)
        if batch is None:
            return False
        self._send(batch, start_ns, now_ns)
        return True

    def _send(self, batch: Batch, start_ns: int, now_ns: int) -> None:
        options = self._state.options
        replica, size, requests = batch.replica, batch.size, batch.requests
        model, worker = replica.model, replica.worker
        latest_ns = FAR
        for pending in requests:
            pending.stage = Stage.DISPATCHED
            latest_ns = min(latest_ns, pending.due_ns)
        if latest_ns < FAR:
            latest_ns = min(start_ns + options.window_ns, latest_ns - replica.bound_ns[size])
        expected_ns = replica.expected_ns[size]
        flight = self._state.send(
            ActionKind.INFER,
            replica,
            (now_ns, latest_ns),
            expected_ns,
            size=size,
            batch_size=model.sizes[size],
            requests=requests,
        )
        worker.exec.add(flight.action.action_id, expected_ns, now_ns + options.lead_ns)
        worker.infers += 1
        replica.in_flight += 1
        replica.used_ns = now_ns
        model.in_flight += len(requests)
        model.departed += len(requests)
        self._state.counters.infers += 1
        self._supervisor.watch(worker)

    def _calibrate_in_turn(self, worker: WorkerState, now_ns: int) -> None:
        """Where requests leave no gap, a calibration still gets a turn now and then."""
        if worker.calibrate_ns > now_ns:
            self._wake_at(worker, worker.calibrate_ns)
        elif worker.may_infer(now_ns, self._state.options):
            self._calibrate(worker, now_ns)

    def _calibrate(self, worker: WorkerState, now_ns: int) -> None:
        self.calibrator.step(worker, now_ns)
        self._supervisor.watch(worker)

    def _wake(self, worker: WorkerState, now_ns: int) -> None:
        """If work waits for the worker, come back when it can be given some."""
        ahead = self._state.options.schedule_ahead_ns
        if (worker.pool or self.calibrator.wanted(worker)) and worker.infers < worker.spec.slots:
            opens = worker.exec.available(now_ns) - ahead
            if opens > now_ns:
                self._wake_at(worker, opens)
        if worker.link.available(now_ns) - ahead > now_ns and self._policy.pick_load(worker, now_ns):
            self._wake_at(worker, worker.link.available(now_ns) - ahead)

    def _wake_at(self, worker: WorkerState, time_ns: int) -> None:
        if time_ns < worker.wake_ns:
            worker.wake_ns = time_ns
            self._state.timers.at(time_ns, self._woken, worker)

    def _woken(self, worker: WorkerState, time_ns: int, now_ns: int) -> None:
        if worker.wake_ns == time_ns and self._state.workers.get(worker.worker_id) is worker:
            worker.wake_ns = FAR
            self.fill(worker, now_ns)
