"""The shell around the controller: clocks, workers and tensors, none of which the controller knows."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from clockwork_triton.controller.actions import ActionKind, ActionResult, Outcome, Request
from clockwork_triton.controller.commands import (
    AnswerRequest,
    Calibrated,
    ModelGone,
    SendAction,
    WakeAt,
    WorkerStuck,
)
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.events import (
    Event,
    RequestCancelled,
    RequestsArrived,
    ResultArrived,
    TimePassed,
    WorkerJoined,
    WorkerLost,
)
from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.engine.fleet import Fleet
from clockwork_triton.engine.flights import Flights, Waiting
from clockwork_triton.engine.journal import Journal
from clockwork_triton.engine.known_models import STOPPING, KnownModels
from clockwork_triton.engine.options import EngineOptions
from clockwork_triton.engine.worker_process import WorkerProcess
from clockwork_triton.errors import TIMEOUT_EXPIRED, Code, ServerError
from clockwork_triton.event_loop import turn_end
from clockwork_triton.inference import Done, InferenceAnswer, InferenceCall
from clockwork_triton.telemetry.gauges import WorkerGauges
from clockwork_triton.telemetry.histogram import Histogram

log = logging.getLogger(__name__)

CALIBRATION_LIMIT_S = 300.0
STUCK_LIMIT_S = 1.0
_LONGEST_HOLD_S = 0.0005


class Engine:
    """Runs the controller: turns what happens into its events, and does what it commands.

    Everything happens on the event loop's thread. `submit` and `cancel` are what front ends call; `models` is
    what the model loader does.
    """

    def __init__(
        self, controller: Controller, options: EngineOptions, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._controller = controller
        self._clock = clock
        self._fleet = Fleet(options, self._worker_joined, self._worker_lost, self._result_arrived)
        self.models = KnownModels(self._fleet, self._handle, self._deliver)
        # The requests that are not answered yet, and those of them that the controller has not been told of.
        self._waiting: dict[int, Waiting] = {}
        self._arrived: list[Request] = []
        self._at_turn_end: Callable[[Callable[[], None]], None] = _not_started
        self._flights = Flights(clock)
        self._request_ids = itertools.count(1)
        self._wake: asyncio.TimerHandle | None = None
        self._held: asyncio.TimerHandle | None = None
        self._journal = Journal(options, clock)
        self._devices = [worker.device for worker in options.workers]
        self._stopped = False
        self._do: Mapping[type, Callable[[Any], None]] = {
            SendAction: self._send,
            AnswerRequest: self._answer,
            WakeAt: self._wake_at,
            Calibrated: self.models.calibrated,
            ModelGone: self.models.forget,
            WorkerStuck: self._end_stuck,
        }

    async def start(self) -> None:
        self._at_turn_end = turn_end(asyncio.get_running_loop())
        await self._fleet.start()

    async def stop(self) -> None:
        """Ends the workers. Whoever still waits for something is told UNAVAILABLE, or that it is done."""
        await self._fleet.stop()
        # Who is told may have others in mind, who waited for him.
        self._stopped = True
        for timer in (self._wake, self._held):
            if timer is not None:
                timer.cancel()
        waiting, self._waiting = self._waiting, {}
        self._arrived.clear()
        for each in waiting.values():
            self._tell(each, ServerError(Code.UNAVAILABLE, STOPPING))
        self.models.stop()
        self._journal.close()

    def device_kinds(self, workers: Collection[int] | None = None) -> Sequence[str]:
        """The kinds of the workers, or of those with these ids, whether they are up or not."""
        specs = self._fleet.specs.items()
        return sorted({spec.device_kind for i, spec in specs if workers is None or i in workers})

    @property
    def prediction_errors(self) -> Mapping[tuple[str, str], Histogram]:
        return self._journal.counters.errors

    def gauges(self) -> tuple[WorkerGauges, ...]:
        """The state of every worker, for the metrics."""
        counters = self._journal.counters
        gauges = []
        for number, spec in sorted(self._fleet.specs.items()):
            process = self._fleet.get(number)
            page_bytes = process.hello.page_bytes if process is not None else 0
            gauges.append(
                WorkerGauges(
                    worker=str(number),
                    device=self._devices[number],
                    up=process is not None,
                    restarts=self._fleet.restarts[number],
                    memory_used_bytes=self._controller.pages_used(number) * page_bytes,
                    memory_limit_bytes=spec.pages * page_bytes,
                    loads=counters.done[number, ActionKind.LOAD],
                    unloads=counters.done[number, ActionKind.UNLOAD],
                    infers=counters.done[number, ActionKind.INFER],
                    refused=counters.refused[number],
                )
            )
        return tuple(gauges)

    def submit(self, call: InferenceCall, done: Done) -> int:
        """See InferenceEngine. What comes in one turn of the event loop is told the controller at its end, in
        one piece, so that it can run together."""
        number = next(self._request_ids)
        if self._stopped:
            asyncio.get_running_loop().call_soon(done, ServerError(Code.UNAVAILABLE, STOPPING))
            return number
        self._waiting[number] = Waiting(call, done)
        if not self._arrived:
            self._at_turn_end(self._turn_ended)
        self._arrived.append(
            Request(number, call.model_id, call.rows, call.arrival_ns, call.deadline_ns, call.priority)
        )
        return number

    def cancel(self, number: int) -> None:
        """See InferenceEngine."""
        waiting = self._waiting.get(number)
        if waiting is None:
            return
        waiting.done = None
        for place, request in enumerate(self._arrived):
            if request.request_id == number:
                del self._arrived[place], self._waiting[number]
                return
        self._handle(RequestCancelled(number))

    def give_up(self, number: int) -> None:
        """As `cancel`, except that `done` is called all the same, once nobody touches the call's tensors."""
        waiting = self._waiting.get(number)
        if waiting is None:
            return
        done = waiting.done
        if any(request.request_id == number for request in self._arrived):
            self.cancel(number)
            if done is not None:
                done(ServerError(Code.CANCELLED, "cancelled"))
            return
        self._handle(RequestCancelled(number))

    def up(self) -> bool:
        """See InferenceEngine."""
        return len(self._fleet) > 0

    def queued(self, model_id: int, priority: int) -> int:
        """See InferenceEngine."""
        arrived = sum(r.model_id == model_id and r.priority == priority for r in self._arrived)
        return arrived + self._controller.queued(model_id, priority)

    def _turn_ended(self) -> None:
        """Tells the controller of what has arrived, unless the workers have enough to do that is shorter than
        sending more: then a result, which comes soon, brings the moment, and what arrives until then can run
        together."""
        if not self._flights.all_short(len(self._fleet)):
            self._deliver()
        elif self._held is None:
            self._held = asyncio.get_running_loop().call_later(_LONGEST_HOLD_S, self._deliver)

    def _deliver(self) -> None:
        if self._held is not None:
            self._held.cancel()
            self._held = None
        arrived, self._arrived = self._arrived, []
        if arrived:
            self._handle(RequestsArrived(tuple(arrived)))

    def _handle(self, event: Event) -> None:
        do = self._do
        for command in self._controller.handle(event, self._clock()):
            do[type(command)](command)

    def _send(self, command: SendAction) -> None:
        action = command.action
        waiting = self._waiting
        calls = [waiting[request_id].call for request_id in action.request_ids]
        worker = self._fleet[action.worker_id]
        self._flights.depart(action, worker, calls, self.models.manifests[action.model_id])

    def _end_stuck(self, command: WorkerStuck) -> None:
        """Kills a worker whose action is overdue by far, if it stays so; the fleet starts another.

        Its result may lie here unread, where it was this process that was kept from running. The times of a
        calibration are guesses at first, so it is given longer.
        """
        worker_id = command.worker_id
        actions = self._flights.at(worker_id)
        calibrating = any(self.models.calibrating(action.model_id) for action in actions)
        if calibrating:
            log.warning("worker %d takes long over a calibration", worker_id)
        limit_s = CALIBRATION_LIMIT_S if calibrating else STUCK_LIMIT_S
        for action in actions[:1]:
            asyncio.get_running_loop().call_later(limit_s, self._end_if_at, worker_id, action.action_id)

    def _end_if_at(self, worker_id: int, action_id: int) -> None:
        process = self._fleet.get(worker_id)
        if process is not None and self._flights.under_way(action_id):
            log.error("worker %d is stuck: its action is overdue by far. It is killed", worker_id)
            process.kill()

    def _result_arrived(self, worker: WorkerProcess, result: ActionResult, received_ns: int) -> None:
        waiting = self._waiting
        action = self._flights.land(result, received_ns, waiting, self.models.manifests)
        calibrating = self.models.calibrating(action.model_id)
        # It may be the last that is heard of the model.
        name = self.models.manifests[action.model_id].name
        self._handle(ResultArrived(result))
        self._journal.action(action, result, name, self._controller.pages_used, calibrating)
        if self._held is not None:
            self._at_turn_end(self._turn_ended)

    def _answer(self, command: AnswerRequest) -> None:
        waiting = self._waiting.pop(command.request_id)
        answer = waiting.answer
        measured = None if isinstance(answer, ServerError) else answer
        self._journal.request(waiting.call, command, measured, self.models.manifests)
        if command.outcome is not Outcome.OK:
            self._tell(waiting, _failure(command))
            return
        assert answer is not None
        self._tell(waiting, answer)

    def _tell(self, waiting: Waiting, outcome: InferenceAnswer | ServerError) -> None:
        if waiting.done is not None:
            try:
                waiting.done(outcome)
            except Exception:  # a fault of whoever asked, which must not keep others from their answers
                log.exception("An answer was not dealt with")

    def _wake_at(self, command: WakeAt) -> None:
        if self._wake is not None:
            self._wake.cancel()
        delay = max(0, command.time_ns - self._clock()) / 1e9
        self._wake = asyncio.get_running_loop().call_later(delay, self._woken)

    def _woken(self) -> None:
        self._wake = None
        self._handle(TimePassed())

    def _worker_joined(self, spec: WorkerSpec) -> None:
        self._handle(WorkerJoined(spec))

    def _worker_lost(self, worker_id: int) -> None:
        self._flights.lose(worker_id)
        self._handle(WorkerLost(worker_id))


def _not_started(callback: Callable[[], None]) -> None:
    raise AssertionError("the engine has not been started")


def _failure(answer: AnswerRequest) -> ServerError:
    if answer.outcome is Outcome.CANCELLED:
        return ServerError(Code.CANCELLED, "cancelled")
    if answer.outcome is Outcome.REFUSED:
        return ServerError(Code.UNAVAILABLE, TIMEOUT_EXPIRED)
    if answer.outcome is Outcome.WORKER_LOST:
        return ServerError(Code.UNAVAILABLE, answer.message or "the worker of this request was lost")
    return ServerError(Code.INTERNAL, answer.message or "the device failed")
