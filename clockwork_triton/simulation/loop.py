"""The controller on a virtual clock."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from random import Random
from typing import Any

from clockwork_triton.controller.actions import Action, ActionResult, Request
from clockwork_triton.controller.commands import AnswerRequest, Command, SendAction, WakeAt
from clockwork_triton.controller.controller import Controller
from clockwork_triton.controller.events import (
    CalibrationAsked,
    Event,
    ModelAdded,
    RequestArrived,
    ResultArrived,
    TimePassed,
    WorkerJoined,
)
from clockwork_triton.controller.specs import ModelSpec
from clockwork_triton.simulation.device import DeviceUse, SimulatedDevice
from clockwork_triton.simulation.network import Ways
from clockwork_triton.simulation.recorder import Recorder
from clockwork_triton.simulation.workloads import Arrival, ClosedLoop, Workload


class Simulation:
    """Runs workloads against devices until all requests are answered.

    `controller_ns` is the time that the controller itself took, on the real clock, and `events` how many it
    handled.
    """

    def __init__(
        self,
        controller: Controller,
        devices: Sequence[SimulatedDevice],
        models: Sequence[ModelSpec],
        recorder: Recorder,
        *,
        network: Ways,
        seed: int = 0,
    ) -> None:
        self._controller = controller
        self._devices: Mapping[int, SimulatedDevice] = {device.spec.worker_id: device for device in devices}
        self._recorder = recorder
        self._network = network
        self._rng = Random(seed)
        self._heap: list[tuple[int, int, Callable[[Any], None], Any]] = []
        self._seq = 0
        self._wake_ns = -1
        self._requests: dict[int, tuple[Request, ClosedLoop | None]] = {}
        self._request_id = 0
        self._begin_ns = 0
        self._end_ns = 0
        self.now_ns = 0
        self.controller_ns = 0
        self.events = 0
        for device in devices:
            self._handle(WorkerJoined(device.spec))
        for model in models:
            self._handle(ModelAdded(model))

    @property
    def requests(self) -> int:
        """How many requests have been made."""
        return self._request_id

    def preload(self, models: Sequence[ModelSpec], kinds: Sequence[str]) -> None:
        """Has every model loaded on a device of each kind, and waits for it."""
        for kind in kinds:
            for model in models:
                estimate = model.estimates[kind]
                self._handle(CalibrationAsked(model.model_id, kind, estimate, 1, {}))
        self._drain(None)
        for device in self._devices.values():
            device.use = DeviceUse()

    def run(
        self,
        workloads: Sequence[Workload],
        duration_ns: int,
        progress: Callable[[int], None] | None = None,
    ) -> None:
        """Arrivals stop after this time; what is then under way is still answered."""
        self._begin_ns = self.now_ns
        self._end_ns = self._begin_ns + duration_ns
        self.controller_ns = 0
        self.events = 0
        for device in self._devices.values():
            device.counted_until_ns = self._end_ns
        for index, workload in enumerate(workloads):
            if isinstance(workload, ClosedLoop):
                for _ in range(workload.concurrency):
                    self._at(self.now_ns + workload.begin_ns, self._ask, workload)
            else:
                self._next(workload.arrivals(Random(f"{self._rng.random()} {index}"), duration_ns))
        self._drain(progress)
        assert not self._requests, "requests were never answered"

    def _drain(self, progress: Callable[[int], None] | None) -> None:
        """Runs until nothing is left to happen."""
        heap = self._heap
        step = max(1, (self._end_ns - self.now_ns) // 200)
        report_ns = self.now_ns + step
        while heap:
            self.now_ns, _, call, subject = heapq.heappop(heap)
            if progress is not None and self.now_ns >= report_ns:
                report_ns += step
                progress(min(self.now_ns, self._end_ns) - self._begin_ns)
            call(subject)

    def _at(self, time_ns: int, call: Callable[[Any], None], subject: Any) -> None:
        self._seq += 1
        heapq.heappush(self._heap, (time_ns, self._seq, call, subject))

    def _next(self, arrivals: Iterator[Arrival]) -> None:
        arrival = next(arrivals, None)
        if arrival is not None:
            self._at(self._begin_ns + arrival.time_ns, self._arrive, (arrival, arrivals))

    def _arrive(self, subject: tuple[Arrival, Iterator[Arrival]]) -> None:
        arrival, arrivals = subject
        self._next(arrivals)
        self._request(arrival, None)

    def _ask(self, loop: ClosedLoop) -> None:
        if self.now_ns < self._end_ns:
            self._request(loop.ask(self.now_ns - self._begin_ns), loop)

    def _request(self, arrival: Arrival, loop: ClosedLoop | None) -> None:
        self._request_id += 1
        deadline_ns = None if arrival.slo_ns is None else self.now_ns + arrival.slo_ns
        request = Request(
            self._request_id, arrival.model_id, arrival.rows, self.now_ns, deadline_ns, arrival.priority
        )
        self._requests[request.request_id] = (request, loop)
        self._handle(RequestArrived(request))

    def _handle(self, event: Event) -> None:
        begin = time.perf_counter_ns()
        commands = self._controller.handle(event, self.now_ns)
        self.controller_ns += time.perf_counter_ns() - begin
        self.events += 1
        for command in commands:
            self._do(command)

    def _do(self, command: Command) -> None:
        if isinstance(command, AnswerRequest):
            request, loop = self._requests.pop(command.request_id)
            self._recorder.answered(request, command.outcome, self.now_ns)
            if loop is not None:
                self._at(self.now_ns + loop.think_ns, self._ask, loop)
        elif isinstance(command, SendAction):
            self._send(command.action)
        elif isinstance(command, WakeAt):
            self._wake_ns = max(command.time_ns, self.now_ns)
            self._at(self._wake_ns, self._wake, self._wake_ns)

    def _send(self, action: Action) -> None:
        self._recorder.sent(action)
        received_ns = self.now_ns + self._network.there(self._rng, self.now_ns)
        leaves_ns, result = self._devices[action.worker_id].accept(action, received_ns)
        self._at(leaves_ns + self._network.back(self._rng, leaves_ns), self._result, (action, result))

    def _result(self, subject: tuple[Action, ActionResult]) -> None:
        action, result = subject
        self._recorder.ended(action, result, self.now_ns)
        self._handle(ResultArrived(result))

    def _wake(self, time_ns: int) -> None:
        if time_ns == self._wake_ns:
            self._wake_ns = -1
            self._handle(TimePassed())
