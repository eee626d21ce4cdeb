"""Everything the controller knows, shared by its parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

from clockwork_triton.controller.actions import Action, ActionKind, Outcome
from clockwork_triton.controller.commands import AnswerRequest, Command, SendAction
from clockwork_triton.controller.delays import Delays
from clockwork_triton.controller.expiries import Expiries
from clockwork_triton.controller.keys import FAR
from clockwork_triton.controller.model_state import ModelState
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.pending import Pending, Stage
from clockwork_triton.controller.replica import Replica
from clockwork_triton.controller.specs import WorkerSpec
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
    """`out` collects the commands of the event under way.

    Sets of workers are written as numbers, one bit each; `slots` says whose bit is whose. `everyone`: all
    of them. `open_mask`: could be given another INFER. `idle_mask`: have none outstanding. `link_mask`: could
    be given a LOAD; `links_watched`: all others will be looked at when they can.
    `openings`: when workers that nothing waits for open again. `returns`: how long results take to come
    back. `generation` counts the changes of the set of workers.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.models: dict[int, ModelState] = {}
        self.workers: dict[int, WorkerState] = {}
        self.slots: list[WorkerState | None] = []
        self.open_mask = 0
        self.idle_mask = 0
        self.link_mask = 0
        self.links_watched = True
        self.openings = Timers()
        self.pending: dict[int, Pending] = {}
        self.returns = Delays()
        self.timers = Timers()
        self.expiries = Expiries()
        self.counters = Counters()
        self.out: list[Command] = []
        self.on_wake: Callable[[WorkerState, int, int], None] = _nothing
        self.on_refused: Callable[[Pending, int], None] = _no_doubt
        self.everyone = 0
        self.generation = 0
        self._action_id = 0
        self._serial = 0

    def serial(self) -> int:
        """A new number each time, by which heaps order what is equal."""
        self._serial += 1
        return self._serial

    def add_worker(self, spec: WorkerSpec) -> WorkerState:
        index = self.slots.index(None) if None in self.slots else len(self.slots)
        worker = WorkerState(spec, 1 << index)
        self.slots[index : index + 1] = [worker]
        self.workers[spec.worker_id] = worker
        self.everyone |= worker.bit
        self.generation += 1
        return worker

    def remove_worker(self, worker_id: int) -> WorkerState | None:
        worker = self.workers.pop(worker_id, None)
        if worker is not None:
            self.slots[self.slots.index(worker)] = None
            self.everyone &= ~worker.bit
            self.generation += 1
            self.close(worker)
        return worker

    def able(self, model: ModelState) -> int:
        """The workers that could hold the model, as a mask."""
        if model.judged != self.generation:
            spec, pages = model.spec, model.spec.pages
            able = [each for each in self.workers.values() if spec.estimate_on(each.spec) is not None]
            model.able_mask = sum([each.bit for each in able if each.spec.pages >= pages])
            model.too_large = bool(able) and not model.able_mask
            model.judged = self.generation
        return model.able_mask

    def close(self, worker: WorkerState) -> None:
        """The worker gets no work for now."""
        self.open_mask &= ~worker.bit
        self.idle_mask &= ~worker.bit
        self.link_mask &= ~worker.bit
        worker.opens_ns = FAR

    def one_of(self, mask: int) -> WorkerState:
        """The worker of the lowest bit of a mask that is not 0."""
        worker = self.slots[(mask & -mask).bit_length() - 1]
        assert worker is not None
        return worker

    def some_of(self, mask: int, most: int, start: int = 0) -> list[WorkerState]:
        """At most `most` workers of the mask, beginning anywhere (`start`) and going round."""
        found: list[WorkerState] = []
        if self.slots:
            turn = start % len(self.slots)
            for part in (mask >> turn << turn, mask & ((1 << turn) - 1)):
                rest = part
                while rest and len(found) < most:
                    low = rest & -rest
                    rest ^= low
                    found.append(self.slots[low.bit_length() - 1])  # type: ignore[arg-type]
        return found

    def wake(self, worker: WorkerState, time_ns: int) -> None:
        """Have the worker looked at, then or before."""
        if time_ns < worker.wake_ns:
            worker.wake_ns = time_ns
            self.timers.at(time_ns, self.on_wake, worker)

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
        start_ns: int = 0,
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
        flight = Flight(action, replica, size, requests, start_ns)
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
            if pending.model.probe_ns is None or now_ns >= pending.model.probe_ns:
                self.on_refused(pending, now_ns)
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
        estimate = model.spec.estimate_on(worker.spec)
        if estimate is None:
            return None
        if known is None:
            known = worker.replicas[model.model_id] = Replica(model, worker, self.serial())
            known.renew(estimate, model.sizes)
        return known


def _nothing(_worker: WorkerState, _time_ns: int, _now_ns: int) -> None:
    pass


def _no_doubt(_pending: Pending, _now_ns: int) -> None:
    pass
