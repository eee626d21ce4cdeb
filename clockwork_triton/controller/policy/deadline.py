"""What the policies that plan for deadlines have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Generator, Iterator
from heapq import heappop, heappush, heapreplace
from math import inf

from clockwork_triton.controller.batching import Choice, patient_batch
from clockwork_triton.controller.keys import FAR, NEVER, key_of
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending, Stage
from clockwork_triton.controller.policy.base import Batch, Policy
from clockwork_triton.controller.policy.demand import Demand
from clockwork_triton.controller.policy.load_order import LoadOrders, Score
from clockwork_triton.controller.replica import Replica, Residency
from clockwork_triton.controller.state import State
from clockwork_triton.controller.worker_state import WorkerState

# A model that becomes urgent is put before so many of the workers that hold it.
SPREAD = 8
# For so long after it could not be served, a request is a reason to load its model for others.
MISSED_NS = 1_000_000_000
# How many aged requests are looked at in one go.
LOOK = 8


class DeadlinePolicy(Policy):
    """Earliest deadline first within a model, late binding over the workers that hold it.

    A model with requests waiting is in the pools of workers that hold it, by its latest start, and any of
    them takes the work. Requests without a deadline come last, in the order of their arrival; but the oldest
    of them, once it has waited `patience_ns`, gets a turn for at most `aged_share` of a worker's time.
    """

    def bind(self, state: State) -> None:
        super().bind(state)
        self.demand = Demand()
        self._cold = LoadOrders(self._cold_score)
        self._pressed = LoadOrders(self._pressed_score)
        self._patient: deque[Pending] = deque()
        self._turn = 0

    # What a subclass decides.

    @abstractmethod
    def choose(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        """As `pick`, when no aged request has its turn."""

    @abstractmethod
    def load_score(self, model: ModelState, work_ns: int) -> float:
        """How much a LOAD of the model is wanted for the sake of this work; the largest first."""

    @abstractmethod
    def regret(self, replica: Replica) -> float:
        """How much unloading it would cost; the smallest goes first. It may grow while the model stays."""

    @abstractmethod
    def regret_of(self, model: ModelState) -> float:
        """What the regret of one more copy of the model would be."""

    def arrived(self, model: ModelState, now_ns: int) -> None:
        """A request of the model has come: a place to learn from that."""

    # Queues and urgency.

    def queued(self, pending: Pending, now_ns: int) -> None:
        model = pending.model
        self.arrived(model, now_ns)
        if pending.due_ns >= FAR:
            self._patient.append(pending)
        self.rekey(model)
        if model.mask:
            self.demand.charge(pending, now_ns)
            if model.key < model.pooled_key:
                self._put_forward(model)
            if pending.unserved:
                self._pressed.want(model)
        elif not model.loading:
            self._cold.want(model)

    def turned_away(self, pending: Pending, now_ns: int) -> bool:
        """A deadline that only a resident model can meet is no reason never to load it."""
        model = pending.model
        cold = not model.mask and not model.loading
        if not cold or pending.due_ns - model.fastest_ns[pending.size] <= now_ns + self.state.options.lead_ns:
            return False
        self.arrived(model, now_ns)
        model.missed_ns = now_ns
        self._cold.want(model)
        return True

    def left(self, model: ModelState, requests: tuple[Pending, ...]) -> None:
        self.demand.release(requests)
        self.rekey(model)
        if model.mask and model.key < model.pooled_key:
            # Those that have left may have kept the others from being served.
            self._put_forward(model)

    def hopeless_ns(self, pending: Pending) -> int:
        due_ns = pending.due_ns
        if due_ns >= FAR:
            return FAR
        model = pending.model
        needed_ns = model.fastest_ns[pending.size] + self.state.options.lead_ns
        if not model.mask and not model.loading:
            needed_ns += model.fastest_load_ns
        return due_ns - needed_ns + 1

    def rekey(self, model: ModelState) -> None:
        """The latest start of the largest batch its queue can fill, after the priority level."""
        entries = model.queue.entries
        if entries:
            rank, due_ns, _, _ = entries[0]
            due_ns -= model.typical_ns[model.filled_by(model.queue.rows)]
            model.key = key_of(rank, due_ns) if rank else due_ns
        else:
            model.key = NEVER

    def _put_forward(self, model: ModelState) -> None:
        """Its urgency has grown: let workers know."""
        model.pooled_key = model.key
        self._turn += 1
        for worker in model.some_holders(SPREAD, self._turn):
            worker.pool.push(worker.replicas[model.model_id], model.key)
            if worker.opens_ns < worker.wake_ns:
                self.state.wake(worker, worker.opens_ns)

    # Choosing a batch.

    def pick(self, worker: WorkerState, start_ns: int, now_ns: int) -> Batch | None:
        if self._patient and worker.aged_ns <= now_ns:
            batch = self._pick_aged(worker, now_ns)
            if batch is not None:
                return batch
        return self.choose(worker, start_ns, now_ns) if worker.pool.tiers else None

    def take(self, replica: Replica, choice: Choice) -> Batch:
        """The batch, whose requests leave their queue."""
        model = replica.model
        requests = choice.take_from(model.queue)
        self.demand.release(requests)
        self.rekey(model)
        if model.key < model.pooled_key:
            # Some worker has put it off for a batch that cannot be had any more.
            self._put_forward(model)
        return Batch(replica, choice.size, requests)

    def _oldest_aged(self, now_ns: int) -> Iterator[Pending]:
        patient = self._patient
        while patient and patient[0].stage is not Stage.QUEUED:
            patient.popleft()
        for index in range(min(LOOK, len(patient))):
            pending = patient[index]
            if now_ns - pending.arrival_ns < self.state.options.patience_ns:
                break
            if pending.stage is Stage.QUEUED:
                yield pending

    def _pick_aged(self, worker: WorkerState, now_ns: int) -> Batch | None:
        for pending in self._oldest_aged(now_ns):
            replica = worker.replicas.get(pending.model.model_id)
            if replica is not None and replica.ready:
                size, places = patient_batch(pending.model.queue, pending.model.sizes, replica.expected_ns)
                worker.aged_ns = now_ns + int(replica.expected_ns[size] / self.state.options.aged_share)
                return self.take(replica, Choice(size, 0, 0, places))
        return None

    # Loading and unloading.

    def loaded(self, replica: Replica, now_ns: int) -> None:
        model = replica.model
        model.missed_ns = -FAR
        for copy in model.resident.values():
            # One more copy makes each of them easier to miss.
            self.note_regret(copy)
        if model.queue.entries:
            self.rekey(model)
            for _, _, _, pending in model.queue.entries:
                if pending.unserved:
                    self.demand.release((pending,))
                if pending.charged is None:
                    self.demand.charge(pending, now_ns)
            replica.worker.pool.push(replica, model.key)

    def stranded(self, model: ModelState, now_ns: int) -> None:
        self._cold.want(model)

    def wants_loads(self) -> bool:
        return self._cold.any or self._pressed.any

    def _cold_score(self, model: ModelState) -> Score | None:
        entries = model.queue.entries
        if model.mask or model.loading:
            return None
        if entries:
            return entries[0][0], -self.load_score(model, model.queue.rows * model.typical_ns[0])
        # Nothing waits for it, but something might have: after all that others wait for.
        return (1, -float(model.missed_ns)) if model.missed_ns > -FAR else None

    def _pressed_score(self, model: ModelState) -> Score | None:
        entries = model.queue.entries
        if not entries or not model.mask or model.loading or model.unserved_ns <= 0:
            return None
        return entries[0][0], -self.load_score(model, model.unserved_ns)

    def pick_load(self, worker: WorkerState, now_ns: int) -> ModelState | None:
        if self._patient:
            aged = self._aged_load(worker, now_ns)
            if aged is not None:
                return aged
        start_ns = max(now_ns + self.state.options.lead_ns, worker.link.available(now_ns))
        if self._cold.any:
            model = self._cold.best(worker, lambda model: self.worth_loading(model, worker, start_ns))
            if model is not None:
                return model
        if self._pressed.any and not worker.infers:
            # Only a worker with time to spare takes one more copy of a model.
            return self._pressed.best(worker, lambda model: self.worth_loading(model, worker, start_ns))
        return None

    def _aged_load(self, worker: WorkerState, now_ns: int) -> ModelState | None:
        if not self._patient or worker.aged_ns > now_ns:
            return None
        for pending in self._oldest_aged(now_ns):
            model = pending.model
            replica = self._loadable(model, worker)
            if replica is not None and not model.mask and not model.loading:
                share = self.state.options.aged_share
                worker.aged_ns = now_ns + int(replica.load.expected_ns / share)
                return model
        return None

    def worth_loading(self, model: ModelState, worker: WorkerState, start_ns: int) -> bool:
        """Whether a LOAD on the worker that starts then would be in time for the most patient request."""
        replica = self._loadable(model, worker)
        if replica is None:
            return False
        if not model.queue.entries:
            if start_ns - model.missed_ns < MISSED_NS:
                return True
            model.missed_ns = -FAR
            return False
        return replica.useful_ns(model.queue.most_patient()) >= start_ns

    def _loadable(self, model: ModelState, worker: WorkerState) -> Replica | None:
        """The model on the worker, if it is not there and could be."""
        replica = self.state.replica(model, worker)
        if replica is None or replica.residency is not Residency.ABSENT:
            return None
        return replica if worker.bit & self.state.able(model) else None

    def load_first(self, worker: WorkerState, model: ModelState) -> bool:
        tops = worker.pool.tops()
        if not tops or not model.queue.entries:
            return not tops
        rank, due_ns, _, _ = model.queue.entries[0]
        needed_ns = model.fastest_load_ns + model.typical_ns[0]
        return key_of(rank, due_ns - needed_ns) <= min(key for key, _, _ in tops)

    def note_regret(self, replica: Replica) -> None:
        """Enters the model in the order of unloading of its worker."""
        replica.regret = self.regret(replica)
        heappush(replica.worker.victims, (replica.regret, replica.serial, replica))

    def victims(
        self, worker: WorkerState, model: ModelState, *, idle: bool
    ) -> Generator[Replica, None, None]:
        """Least regret first, busy models last; only for requests that wait, one that is missed more."""
        heap = worker.victims
        aside: dict[int, tuple[float, int, Replica]] = {}
        busy = []
        sole = bool(model.queue.entries) and not model.mask
        worth = inf if sole or idle else self.regret_of(model)
        try:
            while heap:
                regret, serial, replica = heap[0]
                present = replica.residency is Residency.RESIDENT and serial not in aside
                if replica.regret != regret or not present:
                    heappop(heap)
                    continue
                current = self.regret(replica)
                if current > regret:
                    replica.regret = current
                    heapreplace(heap, (current, serial, replica))
                    continue
                if regret >= worth:
                    return
                aside[serial] = heappop(heap)
                if replica.in_flight or replica.owing or replica.held or replica.model is model:
                    continue
                if replica.model.queue.entries:
                    busy.append(replica)
                else:
                    yield replica
            if sole and not idle:
                yield from busy
        finally:
            for entry in aside.values():
                heappush(heap, entry)
