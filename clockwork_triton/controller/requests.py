"""The life of a request: admitted, queued, and answered once."""

from __future__ import annotations

from clockwork_triton.controller.actions import Outcome, Request
from clockwork_triton.controller.commands import AnswerRequest
from clockwork_triton.controller.keys import FAR, rank_of
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.pending import Pending, Stage
from clockwork_triton.controller.policy.base import Policy
from clockwork_triton.controller.state import State

# How often a request may be given up by workers before it is answered.
MAX_ATTEMPTS = 1

# A model held by more workers than this is taken to find a free one.
LOOK = 4

BARRED = "the model has ended its worker again and again, so it is not run for now"
TOO_LARGE = "the model is larger than any device's memory"


class Requests:
    """Admission, expiry, cancellation and second chances."""

    def __init__(self, state: State, policy: Policy) -> None:
        self._state = state
        self._policy = policy
        self._seq = 0

    def arrive(self, request: Request, now_ns: int) -> ModelState | None:
        """Returns the model, if it can be given to a worker or should be loaded now."""
        state = self._state
        state.counters.requests += 1
        model = state.models.get(request.model_id)
        if model is None:
            self._fail(request, "unknown model")
            return None
        size = model.size_for(request.rows)
        if size is None:
            self._fail(request, "no batch size holds the request")
            return None
        self._seq += 1
        deadline_ns = request.deadline_ns
        if deadline_ns is None:
            due_ns = FAR + request.arrival_ns
        else:
            due_ns = deadline_ns - self._margin_ns(deadline_ns - request.arrival_ns, now_ns)
        pending = Pending(
            request.request_id,
            model,
            request.rows,
            size,
            request.arrival_ns,
            deadline_ns,
            due_ns,
            rank_of(request.priority),
            self._seq,
        )
        assert request.request_id not in state.pending
        state.pending[request.request_id] = pending
        if model.barred_ns > now_ns:
            state.answer(pending, Outcome.WORKER_LOST, now_ns, message=BARRED)
            return None
        if not model.mask and not model.loading and self._too_large(model):
            state.answer(pending, Outcome.FAILED, now_ns, message=TOO_LARGE)
            return None
        hopeless_ns = self._policy.hopeless_ns(pending)
        if self._hopeless(model, hopeless_ns, now_ns):
            state.answer(pending, Outcome.REFUSED, now_ns)
            return model if self._policy.turned_away(pending, now_ns) else None
        if self._policy.crowded_out(pending, now_ns):
            state.answer(pending, Outcome.REFUSED, now_ns)
            return None
        self._enqueue(pending, hopeless_ns, now_ns)
        return model

    def _margin_ns(self, budget_ns: int, now_ns: int) -> int:
        """How long before its deadline a request must have run, so that its answer is there in time."""
        state, options = self._state, self._state.options
        buffer_ns = int(options.buffer_share * budget_ns)
        if buffer_ns < options.buffer_ns:
            buffer_ns = options.buffer_ns
        margin_ns = buffer_ns + state.returns.bound_ns(now_ns)
        most_ns = int(options.margin_share * budget_ns)
        return margin_ns if margin_ns <= most_ns else max(buffer_ns, most_ns)

    def cancel(self, request_id: int, now_ns: int) -> None:
        pending = self._state.pending.get(request_id)
        if pending is not None and pending.stage is Stage.QUEUED:
            self._drop(pending)
            self._state.answer(pending, Outcome.CANCELLED, now_ns)

    def retry(self, pending: Pending, now_ns: int, otherwise: Outcome, message: str) -> ModelState | None:
        """A worker has failed the request: queue it once more, or answer it with this outcome."""
        pending.attempts += 1
        if pending.attempts > MAX_ATTEMPTS:
            self._state.answer(pending, otherwise, now_ns, message=message)
            return None
        return self.requeue(pending, now_ns, otherwise, message)

    def requeue(
        self, pending: Pending, now_ns: int, otherwise: Outcome = Outcome.REFUSED, message: str = ""
    ) -> ModelState | None:
        """Queues a dispatched request again if it has slack left; returns its model if so."""
        if pending.model.barred_ns > now_ns:
            self._state.answer(pending, Outcome.WORKER_LOST, now_ns, message=BARRED)
            return None
        hopeless_ns = self._policy.hopeless_ns(pending)
        if self._hopeless(pending.model, hopeless_ns, now_ns):
            self._state.answer(pending, otherwise, now_ns, message=message)
            return None
        self._enqueue(pending, hopeless_ns, now_ns)
        return pending.model

    def bar(self, model: ModelState, now_ns: int, until_ns: int) -> None:
        """Until then the model is not run."""
        model.barred_ns = until_ns
        model.missed_ns = -FAR
        self.fail_all(model, now_ns, BARRED, Outcome.WORKER_LOST)

    def fail_all(
        self, model: ModelState, now_ns: int, message: str, outcome: Outcome = Outcome.FAILED
    ) -> None:
        """Answers every waiting request of the model."""
        requests = model.queue.take_slice(0, len(model.queue))
        model.departed += len(requests)
        self._policy.left(model, requests)
        for pending in requests:
            self._state.answer(pending, outcome, now_ns, message=message)

    def servable(self, model: ModelState, now_ns: int) -> bool:
        """False, after answering them, if the waiting requests of a model can never be served."""
        if self._too_large(model):
            self.fail_all(model, now_ns, TOO_LARGE)
            return False
        return True

    def orphaned(self, model: ModelState, now_ns: int) -> None:
        """There may be no worker left for the model: bound the wait of its requests without a deadline."""
        if not self._capable(model):
            for _, _, _, pending in model.queue.entries:
                if pending.patient:
                    self._state.timers.at(now_ns + self._state.options.orphan_ns, self._abandon, pending)

    def _enqueue(self, pending: Pending, hopeless_ns: int, now_ns: int) -> None:
        model = pending.model
        pending.stage = Stage.QUEUED
        model.queue.add(pending)
        if pending.due_ns >= FAR:
            if not model.mask and not self._capable(model):
                self._state.timers.at(now_ns + self._state.options.orphan_ns, self._abandon, pending)
        elif hopeless_ns < model.expiry_ns:
            self._state.expiries.put(model, hopeless_ns)
        self._policy.queued(pending, now_ns)

    def _drop(self, pending: Pending) -> None:
        model = pending.model
        model.queue.remove(pending)
        model.departed += 1
        self._policy.left(model, (pending,))

    def _hopeless(self, model: ModelState, hopeless_ns: int, now_ns: int) -> bool:
        """Whether a request that must begin before then cannot be met any more, given what is planned."""
        if hopeless_ns <= now_ns:
            return True
        state = self._state
        mask = model.mask
        if hopeless_ns == FAR or (
            # An open worker is free within the horizon.
            mask & state.open_mask and hopeless_ns > now_ns + state.options.schedule_ahead_ns
        ):
            return False
        if not mask:
            return hopeless_ns <= self._free_ns(model, now_ns)
        if len(model.holders) > LOOK:
            return False
        begin_ns = hopeless_ns + state.options.lead_ns
        for worker in model.holders:
            if worker.exec.available(now_ns) < begin_ns:
                return False
        return True

    def _free_ns(self, model: ModelState, now_ns: int) -> int:
        """The first moment at which a worker could begin with a request of the model, less the lead."""
        state = self._state
        mask = model.mask
        if mask:
            if mask & state.idle_mask & state.open_mask:
                return now_ns
            if len(model.holders) > LOOK:
                return now_ns
            free_ns = min([worker.exec.available(now_ns) for worker in model.holders])
        elif model.loading:
            free_ns = min([replica.worker.link.available(now_ns) for replica in model.loading.values()])
        else:
            able = state.able(model)
            if state.link_mask & able:
                return now_ns
            links = [worker.link for worker in state.workers.values() if worker.bit & able]
            free_ns = min([link.available(now_ns) for link in links], default=now_ns)
        return free_ns - state.options.lead_ns

    def expire_due(self, now_ns: int) -> None:
        """Looks after all models whose time has come."""
        model = self._state.expiries.take(now_ns)
        while model is not None:
            self.expire(model, now_ns)
            model = self._state.expiries.take(now_ns)

    def expire(self, model: ModelState, now_ns: int) -> None:
        """Refuses the requests of a model that have become hopeless."""
        next_ns = FAR
        horizon_ns = max(now_ns, self._free_ns(model, now_ns))
        for front in model.queue.fronts():
            pending: Pending | None = front
            while pending is not None:
                hopeless_ns = self._policy.hopeless_ns(pending)
                if hopeless_ns > horizon_ns:
                    next_ns = min(next_ns, hopeless_ns)
                    break
                following = model.queue.after(pending)
                self._drop(pending)
                self._state.answer(pending, Outcome.REFUSED, now_ns)
                pending = following
        if next_ns < FAR:
            self._state.expiries.put(model, next_ns)

    def _abandon(self, pending: Pending, _time_ns: int, now_ns: int) -> None:
        if pending.stage is Stage.QUEUED and not self._capable(pending.model):
            self._drop(pending)
            self._state.answer(pending, Outcome.WORKER_LOST, now_ns, message="no worker can run the model")

    def _capable(self, model: ModelState) -> bool:
        """Whether any worker could run the model."""
        able = self._state.able(model)
        return any(worker.bit & able and not worker.stuck for worker in self._state.workers.values())

    def _too_large(self, model: ModelState) -> bool:
        """There are workers of the right kind, and the model fits none of them."""
        return not self._state.able(model) and model.too_large

    def _fail(self, request: Request, message: str) -> None:
        self._state.counters.failed += 1
        self._state.out.append(AnswerRequest(request.request_id, Outcome.FAILED, None, message))
