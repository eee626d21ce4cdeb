"""Giving executors work whenever they can take more."""

from __future__ import annotations

from clockwork_triton.controller.actions import ActionKind, Outcome
from clockwork_triton.controller.calibration import Calibrator
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.loader import Loader
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Stage
from clockwork_triton.controller.policy.base import Batch, Policy
from clockwork_triton.controller.probes import Probes
from clockwork_triton.controller.requests import Requests
from clockwork_triton.controller.state import State
from clockwork_triton.controller.supervision import Supervisor
from clockwork_triton.controller.worker_state import WorkerState

# How many workers are considered for a LOAD, or for one more INFER beside others, in one go.
LOOK = 8


class Dispatcher:
    """Keeps this true between events: no worker that could be given work now has work waiting for it.

    An INFER is planned `schedule_ahead_ns` before the executor is expected to be free, and not earlier,
    however long the actions are: late enough to take the most urgent, early enough not to idle.
    """

    def __init__(
        self, state: State, policy: Policy, loader: Loader, supervisor: Supervisor, requests: Requests
    ) -> None:
        self._state = state
        self._policy = policy
        self._loader = loader
        self._supervisor = supervisor
        self._requests = requests
        self._turn = 0
        self.calibrator = Calibrator(state, loader, self.fill)
        Probes(state, self.calibrator)
        state.on_wake = self._woken

    def queued(self, model: ModelState, now_ns: int) -> None:
        """A request of the model has been queued: give it to a worker, or have the model loaded."""
        state = self._state
        mask = model.mask & state.open_mask
        if mask:
            idle = mask & state.idle_mask
            if idle:
                self.fill(state.one_of(idle), now_ns)
            if model.queue.entries:
                workers = state.some_of(model.mask & state.open_mask, LOOK)
                for worker in sorted(workers, key=lambda worker: worker.exec.available(now_ns)):
                    if not model.queue.entries:
                        return
                    self.fill(worker, now_ns)
        if model.loading:
            return
        if not model.mask:
            self.place(model, now_ns)
        elif model.unserved_ns > 0:
            spare = state.idle_mask & state.link_mask & state.able(model) & ~model.mask
            if spare:
                self.fill(state.one_of(spare), now_ns)

    def place(self, model: ModelState, now_ns: int) -> None:
        """Has the model loaded by the best of some workers whose link is free, or wakes them when it is."""
        state = self._state
        mask = state.link_mask & state.able(model)
        if not mask:
            if not state.links_watched:
                state.links_watched = True
                for worker in state.workers.values():
                    self._wake_link(worker, now_ns)
            return
        self._turn += 1
        workers = state.some_of(mask, LOOK, self._turn)
        workers.sort(key=lambda worker: (worker.backlog_ns, -worker.arena.free_pages, worker.bit))
        for worker in workers:
            if model.loading:
                break
            self.fill(worker, now_ns)

    def fill(self, worker: WorkerState, now_ns: int) -> None:
        """Plans as much work on the worker as its horizon holds."""
        if worker.stuck:
            return
        wanted = self.calibrator.wanted(worker)
        if wanted:
            self._calibrate_in_turn(worker, now_ns)
        planned = len(worker.flights)
        loads = self._policy.wants_loads()
        if worker.exec is worker.link:
            while (loads and self._load(worker, now_ns, shared=True)) or self._infer(worker, now_ns):
                loads = self._policy.wants_loads()
        else:
            while loads and self._load(worker, now_ns, shared=False):
                loads = self._policy.wants_loads()
            while self._infer(worker, now_ns):
                pass
        if wanted and not worker.exec and not worker.link:
            self._calibrate(worker, now_ns)
        if len(worker.flights) > planned and worker.pool.tiers:
            self._sweep(worker, now_ns)
        self._settle(worker, now_ns)

    def _load(self, worker: WorkerState, now_ns: int, *, shared: bool) -> bool:
        policy = self._policy
        if worker.link.available(now_ns) > now_ns + self._state.options.schedule_ahead_ns:
            return False
        model = policy.pick_load(worker, now_ns)
        if model is None or (shared and not policy.load_first(worker, model)):
            return False
        replica = self._state.replica(model, worker)
        assert replica is not None
        if self._loader.load(replica, now_ns) is None:
            return False
        self._supervisor.watch(worker)
        return True

    def _infer(self, worker: WorkerState, now_ns: int) -> bool:
        options = self._state.options
        if worker.infers >= worker.spec.slots:
            return False
        start_ns = worker.exec.available(now_ns)
        if start_ns > now_ns + options.schedule_ahead_ns:
            return False
        if start_ns < now_ns + options.lead_ns:
            start_ns = now_ns + options.lead_ns
        delay_ns = worker.starts.bound_ns(now_ns)
        batch = self._policy.pick(worker, start_ns + delay_ns, now_ns)
        if batch is None:
            return False
        self._send(batch, start_ns, delay_ns, now_ns)
        return True

    def _send(self, batch: Batch, start_ns: int, delay_ns: int, now_ns: int) -> None:
        """`delay_ns`: how much later than planned it may well start."""
        state = self._state
        replica, size, requests, dropped = batch
        model, worker = replica.model, replica.worker
        due_ns = FAR
        for pending in requests:
            pending.stage = Stage.DISPATCHED
            if pending.due_ns < due_ns:
                due_ns = pending.due_ns
        latest_ns = FAR
        if due_ns < FAR and self._policy.plans_deadlines:
            latest_ns = min(start_ns + delay_ns + state.options.window_ns, due_ns - replica.bound_ns[size])
        expected_ns = replica.expected_ns[size]
        flight = state.send(
            ActionKind.INFER,
            replica,
            (now_ns, latest_ns),
            expected_ns,
            size=size,
            batch_size=model.sizes[size],
            requests=requests,
            start_ns=start_ns,
        )
        worker.exec.add(flight.action.action_id, expected_ns, now_ns + state.options.lead_ns)
        worker.infers += 1
        replica.in_flight += 1
        replica.used_ns = now_ns
        model.in_flight += len(requests)
        model.departed += len(requests) + len(dropped)
        state.counters.infers += 1
        self._supervisor.watch(worker)
        for pending in dropped:
            state.answer(pending, Outcome.REFUSED, now_ns)

    def _settle(self, worker: WorkerState, now_ns: int) -> None:
        """Notes what the worker could take, and sees to it that it is looked at when it can take more."""
        state = self._state
        bit = worker.bit
        limit_ns = now_ns + state.options.schedule_ahead_ns
        if worker.infers:
            state.idle_mask &= ~bit
        else:
            state.idle_mask |= bit
        available_ns = worker.exec.available(now_ns)
        if worker.infers < worker.spec.slots and available_ns <= limit_ns:
            state.open_mask |= bit
            worker.opens_ns = FAR
        else:
            state.open_mask &= ~bit
            self._close(worker, available_ns - state.options.schedule_ahead_ns, now_ns)
        if worker.link.available(now_ns) <= limit_ns:
            state.link_mask |= bit
        else:
            state.link_mask &= ~bit
            if self._policy.wants_loads():
                self._wake_link(worker, now_ns)
            else:
                state.links_watched = False

    def _close(self, worker: WorkerState, opens_ns: int, now_ns: int) -> None:
        """The worker can take no INFER until then, or until a result arrives."""
        if worker.infers >= worker.spec.slots or opens_ns <= now_ns:
            worker.opens_ns = FAR
            return
        worker.opens_ns = opens_ns
        if worker.pool.tiers or self.calibrator.wanted(worker):
            self._state.wake(worker, opens_ns)
        elif worker.opening_ns != opens_ns:
            worker.opening_ns = opens_ns
            self._state.openings.at(opens_ns, self._opened, worker)

    def _sweep(self, worker: WorkerState, now_ns: int) -> None:
        """Refuses the most urgent requests that what has just been planned has made hopeless."""
        start_ns = worker.exec.available(now_ns)
        open_mask = self._state.open_mask
        for _, _, replica in worker.pool.tops():
            model = replica.model
            front = model.queue.entries[0][3]
            if front.due_ns - model.fastest_ns[front.size] < start_ns and not model.mask & open_mask:
                self._requests.expire(model, now_ns)

    def _wake_link(self, worker: WorkerState, now_ns: int) -> None:
        opens_ns = worker.link.available(now_ns) - self._state.options.schedule_ahead_ns
        if opens_ns > now_ns:
            self._state.wake(worker, opens_ns)

    def _calibrate_in_turn(self, worker: WorkerState, now_ns: int) -> None:
        """Where requests leave no gap, a calibration still gets a turn now and then."""
        if worker.calibrate_ns > now_ns:
            self._state.wake(worker, worker.calibrate_ns)
        elif (
            worker.infers < worker.spec.slots
            and worker.exec.available(now_ns) <= now_ns + self._state.options.schedule_ahead_ns
        ):
            self._calibrate(worker, now_ns)

    def _calibrate(self, worker: WorkerState, now_ns: int) -> None:
        self.calibrator.step(worker, now_ns)
        self._supervisor.watch(worker)

    def _opened(self, worker: WorkerState, time_ns: int, now_ns: int) -> None:
        if worker.opens_ns == time_ns:
            self.fill(worker, now_ns)

    def _woken(self, worker: WorkerState, time_ns: int, now_ns: int) -> None:
        if worker.wake_ns == time_ns:
            worker.wake_ns = FAR
            if self._state.workers.get(worker.worker_id) is worker:
                self.fill(worker, now_ns)
