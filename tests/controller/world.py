"""A controller driven on a virtual clock, with devices that do as they are told."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Mapping

from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Outcome, Request, Status
from clockwork_triton.controller.commands import (
    AnswerRequest,
    Calibrated,
    Command,
    ModelGone,
    SendAction,
    WakeAt,
    WorkerStuck,
)
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.events import (
    CalibrationAsked,
    Event,
    ModelAdded,
    ModelRetired,
    RequestArrived,
    RequestCancelled,
    ResultArrived,
    TimePassed,
    WorkerJoined,
    WorkerLost,
)
from clockwork_triton.controller.options import Options
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.controller.specs import Estimate, ModelSpec, WorkerSpec

MS = 1_000_000
KIND = "v100"
RESNET50 = Estimate(8_372_000, {1: 3_322_000, 2: 5_271_000, 4: 7_495_000, 8: 12_439_000, 16: 21_729_000})
NETWORK_NS = 50_000


class Device:
    """Does LOADs and INFERs in the order sent, each kind on its own executor if they overlap.

    Checks what a controller must never do: use pages twice, unload under an INFER, exceed the slots.
    """

    def __init__(self, spec: WorkerSpec) -> None:
        self.spec = spec
        self.free_ns = {False: 0, True: 0}
        self.pages: dict[int, set[int]] = {}
        self.outstanding: dict[int, Action] = {}
        self.mute = False
        self.clock_mhz = 0

    def accept(self, action: Action, now_ns: int, duration_ns: int, model: ModelSpec) -> ActionResult:
        self.outstanding[action.action_id] = action
        infers = [other for other in self.outstanding.values() if other.kind is ActionKind.INFER]
        assert len(infers) <= self.spec.slots
        received = now_ns + NETWORK_NS
        executor = self.spec.overlaps and action.kind is not ActionKind.INFER
        begin = max(received, self.free_ns[executor], action.earliest_ns)
        status = Status.OK
        if begin > action.latest_ns:
            status = Status.TOO_LATE
        elif action.kind is ActionKind.INFER:
            status = Status.OK if action.model_id in self.pages else Status.NOT_LOADED
        elif action.kind is ActionKind.UNLOAD:
            assert all(other.model_id != action.model_id for other in infers), "unloaded under an INFER"
            if self.pages.pop(action.model_id, None) is None:
                status = Status.NOT_LOADED
        else:
            status = self._load(action, model)
        if status is not Status.OK:
            self.free_ns[executor] = begin
            return ActionResult(action.action_id, self.spec.worker_id, status, received, 0, 0)
        self.free_ns[executor] = begin + duration_ns
        result = ActionResult(
            action.action_id, self.spec.worker_id, status, received, begin, begin + duration_ns
        )
        return result._replace(clock_mhz=self.clock_mhz)

    def _load(self, action: Action, model: ModelSpec) -> Status:
        if action.model_id in self.pages:
            return Status.ALREADY_LOADED
        taken: set[int] = set()
        for first, length in zip(action.pages, model.segments, strict=True):
            run = set(range(first, first + length))
            assert not run & taken
            assert first >= 0
            assert first + length <= self.spec.pages
            taken |= run
        for other, pages in self.pages.items():
            assert not taken & pages, f"pages of model {other} are overwritten"
        self.pages[action.model_id] = taken
        return Status.OK


class World:
    """`durations(action, planned_ns)` says how long an action really takes."""

    def __init__(
        self,
        policy: str = "clockwork",
        options: Options | None = None,
        durations: Callable[[Action, int], int] = lambda action, planned_ns: planned_ns,
    ) -> None:
        self.now_ns = 0
        self.controller = Controller(POLICIES[policy](), options)
        self.options = options or Options()
        self.plans_deadlines = POLICIES[policy].plans_deadlines
        self.devices: dict[int, Device] = {}
        self.models: dict[int, ModelSpec] = {}
        self.requests: dict[int, Request] = {}
        self.answers: dict[int, tuple[Outcome, int]] = {}
        self.messages: dict[int, str] = {}
        self.actions: list[Action] = []
        self.calibrated: list[Calibrated] = []
        self.gone: list[int] = []
        self.stuck: list[int] = []
        self.script: list[tuple[int, Event, tuple[Command, ...]]] = []
        self.durations = durations
        self.faults: dict[int, Status] = {}
        self._wake_ns: int | None = None
        self._events: list[tuple[int, int, Event]] = []
        self._seq = itertools.count()
        self._ids = itertools.count(1)

    def join(
        self, worker_id: int = 0, pages: int = 1376, slots: int = 8, overlaps: bool = True, kind: str = KIND
    ) -> None:
        spec = WorkerSpec(worker_id, kind, pages, slots, overlaps)
        self.devices[worker_id] = Device(spec)
        self.tell(WorkerJoined(spec))

    def lose(self, worker_id: int) -> None:
        del self.devices[worker_id]
        self.tell(WorkerLost(worker_id))

    def add(
        self,
        model_id: int,
        estimate: Estimate | None = RESNET50,
        segments: tuple[int, ...] = (7,),
        workers: frozenset[int] | None = None,
    ) -> None:
        estimates: Mapping[str, Estimate] = {KIND: estimate} if estimate else {}
        self.models[model_id] = ModelSpec(model_id, f"m{model_id}", segments, estimates, workers)
        self.tell(ModelAdded(self.models[model_id]))

    def retire(self, model_id: int) -> None:
        self.tell(ModelRetired(model_id))

    def calibrate(self, model_id: int, rough: Estimate, loads: int, runs: Mapping[int, int]) -> None:
        self.tell(CalibrationAsked(model_id, KIND, rough, loads, runs))

    def ask(self, model_id: int, slo_ns: int | None = 100 * MS, rows: int = 1, priority: int = 0) -> int:
        request_id = next(self._ids)
        deadline = None if slo_ns is None else self.now_ns + slo_ns
        request = Request(request_id, model_id, rows, self.now_ns, deadline, priority)
        self.requests[request_id] = request
        self.tell(RequestArrived(request))
        return request_id

    def cancel(self, request_id: int) -> None:
        self.tell(RequestCancelled(request_id))

    def tell(self, event: Event) -> None:
        commands = self.controller.handle(event, self.now_ns)
        self.script.append((self.now_ns, event, tuple(commands)))
        for command in commands:
            self._do(command)

    def run(self, duration_ns: int) -> None:
        """Lets time pass."""
        end_ns = self.now_ns + duration_ns
        while self._events and self._events[0][0] <= end_ns:
            time_ns, _, event = heapq.heappop(self._events)
            self.now_ns = max(self.now_ns, time_ns)
            if isinstance(event, TimePassed):
                if self._wake_ns != time_ns:
                    continue
                self._wake_ns = None
            if isinstance(event, ResultArrived) and not self._deliver(event.result):
                continue
            self.tell(event)
        self.now_ns = end_ns

    def outcome(self, request_id: int) -> Outcome | None:
        answer = self.answers.get(request_id)
        return answer[0] if answer else None

    def sent(self, kind: ActionKind) -> list[Action]:
        return [action for action in self.actions if action.kind is kind]

    def _deliver(self, result: ActionResult) -> bool:
        device = self.devices.get(result.worker_id)
        if device is None or result.action_id not in device.outstanding:
            return False
        if device.mute:
            self._push(self.now_ns + 10 * MS, ResultArrived(result))
            return False
        del device.outstanding[result.action_id]
        return True

    def _do(self, command: Command) -> None:
        if isinstance(command, SendAction):
            self._send(command.action)
        elif isinstance(command, AnswerRequest):
            assert command.request_id in self.requests
            assert command.request_id not in self.answers, "answered twice"
            self.answers[command.request_id] = (command.outcome, self.now_ns)
            self.messages[command.request_id] = command.message
        elif isinstance(command, WakeAt):
            self._wake_ns = max(command.time_ns, self.now_ns)
            self._push(self._wake_ns, TimePassed())
        elif isinstance(command, Calibrated):
            self.calibrated.append(command)
        elif isinstance(command, ModelGone):
            self.gone.append(command.model_id)
        elif isinstance(command, WorkerStuck):
            self.stuck.append(command.worker_id)

    def _send(self, action: Action) -> None:
        device = self.devices[action.worker_id]
        model = self.models[action.model_id]
        self.actions.append(action)
        for request_id in action.request_ids:
            assert request_id not in self.answers, "dispatched after its answer"
            request = self.requests[request_id]
            if request.deadline_ns is not None and self.plans_deadlines:
                end_ns = action.latest_ns + action.expected_ns
                assert end_ns + self.options.buffer_ns <= request.deadline_ns, "may end too late"
        rows = sum(self.requests[request_id].rows for request_id in action.request_ids)
        assert rows <= action.batch_size or action.kind is not ActionKind.INFER
        assert action.earliest_ns <= action.latest_ns
        fault = self.faults.pop(action.action_id, None)
        if fault is Status.NOT_LOADED:
            device.pages.pop(action.model_id, None)
        if fault is not None and action.kind is not ActionKind.UNLOAD:
            result = ActionResult(action.action_id, action.worker_id, fault, self.now_ns, 0, 0)
            device.outstanding[action.action_id] = action
        else:
            duration_ns = (
                0 if action.kind is ActionKind.UNLOAD else self.durations(action, action.expected_ns)
            )
            result = device.accept(action, self.now_ns, duration_ns, model)
        executor = device.spec.overlaps and action.kind is not ActionKind.INFER
        done_ns = result.end_ns or max(self.now_ns, device.free_ns[executor])
        self._push(done_ns + NETWORK_NS, ResultArrived(result))

    def _push(self, time_ns: int, event: Event) -> None:
        heapq.heappush(self._events, (time_ns, next(self._seq), event))
