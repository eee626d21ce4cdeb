"""The actions under way, and the tensors that travel with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.engine.worker_process import WorkerProcess
from clockwork_triton.inference import InferenceAnswer, InferenceCall


@dataclass(slots=True)
class Flight:
    """An action at a worker. `row_of`: where the rows of each request begin in the batch."""

    action: Action
    worker: WorkerProcess
    slot: int = -1
    row_of: dict[int, int] = field(default_factory=dict)
    input_ns: int = 0


class Flights:
    """From the dispatch of an action to its result."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._flights: dict[int, Flight] = {}

    def depart(
        self, action: Action, worker: WorkerProcess, calls: Sequence[InferenceCall], manifest: Manifest
    ) -> None:
        """Sends the action; `calls`, those of its requests, are laid into a slot first."""
        flight = Flight(action, worker)
        if action.kind is ActionKind.INFER:
            begin = self._clock()
            flight.slot = worker.region.take()
            row = 0
            for request_id, call in zip(action.request_ids, calls, strict=True):
                flight.row_of[request_id] = row
                row += call.rows
            inputs = [(call.rows, call.inputs) for call in calls]
            worker.region.write_inputs(flight.slot, manifest, action.batch_size, inputs)
            flight.input_ns = self._clock() - begin
        self._flights[action.action_id] = flight
        worker.send(action, max(flight.slot, 0))

    def land(
        self,
        result: ActionResult,
        calls: Mapping[int, InferenceCall],
        manifest_of: Callable[[int], Manifest],
    ) -> tuple[Action, dict[int, InferenceAnswer]]:
        """The action that ended, with the answers of those of its requests that `calls` still holds.

        A request may have been given up while its worker was overdue.
        """
        flight = self._flights.pop(result.action_id)
        answers = {}
        if flight.slot >= 0:
            if result.status is Status.OK:
                manifest = manifest_of(flight.action.model_id)
                for request_id, row in flight.row_of.items():
                    if request_id in calls:
                        answers[request_id] = self._answer(flight, result, calls[request_id], manifest, row)
            flight.worker.region.give_back(flight.slot)
        return flight.action, answers

    def _answer(
        self, flight: Flight, result: ActionResult, call: InferenceCall, manifest: Manifest, row: int
    ) -> InferenceAnswer:
        begin = self._clock()
        action = flight.action
        outputs = flight.worker.region.read_outputs(flight.slot, manifest, action.batch_size, row, call.rows)
        return InferenceAnswer(
            outputs,
            action.action_id,
            action.batch_size,
            max(0, result.begin_ns - flight.input_ns - call.arrival_ns),
            flight.input_ns,
            result.end_ns - result.begin_ns,
            self._clock() - begin,
        )

    def at(self, worker_id: int) -> list[Action]:
        """The actions under way at a worker."""
        return [f.action for f in self._flights.values() if f.action.worker_id == worker_id]

    def under_way(self, action_id: int) -> bool:
        return action_id in self._flights

    def lose(self, worker_id: int) -> None:
        """Forgets what was under way at a worker that is gone, slots and all."""
        for action in self.at(worker_id):
            del self._flights[action.action_id]
