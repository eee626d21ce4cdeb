"""The actions under way, and the tensors that travel with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.engine.host_io import read_answers, write_calls
from clockwork_triton.engine.worker_process import WorkerProcess
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.inference import InferenceAnswer, InferenceCall, as_bytes


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
            if manifest.compiled:
                inputs = [(call.rows, call.inputs) for call in calls]
                worker.region.write_inputs(flight.slot, manifest, action.batch_size, inputs)
            else:
                write_calls(worker.region.slot(flight.slot), manifest, action.batch_size, calls)
            flight.input_ns = self._clock() - begin
        self._flights[action.action_id] = flight
        worker.send(action, max(flight.slot, 0))

    def land(
        self,
        result: ActionResult,
        calls: Mapping[int, InferenceCall],
        manifest_of: Callable[[int], Manifest],
    ) -> tuple[Action, dict[int, InferenceAnswer | ServerError]]:
        """The action that ended, with the answers of those of its requests that `calls` still holds, or why
        one has none although the action went well.

        A request may have been given up while its worker was overdue.
        """
        flight = self._flights.pop(result.action_id)
        answers: dict[int, InferenceAnswer | ServerError] = {}
        if flight.slot >= 0:
            if result.status is Status.OK:
                manifest = manifest_of(flight.action.model_id)
                read = self._outputs if manifest.compiled else self._host_outputs
                answers = read(flight, result, calls, manifest)
            flight.worker.region.give_back(flight.slot)
        return flight.action, answers

    def _outputs(
        self, flight: Flight, result: ActionResult, calls: Mapping[int, InferenceCall], manifest: Manifest
    ) -> dict[int, InferenceAnswer | ServerError]:
        region, size = flight.worker.region, flight.action.batch_size
        answers: dict[int, InferenceAnswer | ServerError] = {}
        for request_id, row in flight.row_of.items():
            call = calls.get(request_id)
            if call is not None:
                begin = self._clock()
                outputs = region.read_outputs(flight.slot, manifest, size, row, call.rows)
                answers[request_id] = self._answer(flight, result, call, outputs, begin)
        return answers

    def _host_outputs(
        self, flight: Flight, result: ActionResult, calls: Mapping[int, InferenceCall], manifest: Manifest
    ) -> dict[int, InferenceAnswer | ServerError]:
        if not flight.row_of:
            return {}
        begin = self._clock()
        records = read_answers(flight.worker.region.slot(flight.slot))
        answers: dict[int, InferenceAnswer | ServerError] = {}
        for request_id, record in zip(flight.row_of, records, strict=True):
            call = calls.get(request_id)
            if call is None:
                continue
            if isinstance(record, str):
                answers[request_id] = ServerError(Code.INTERNAL, f"{manifest.runtime}: {record}")
            else:
                outputs = tuple(as_bytes(tensor.data) for tensor in record)
                shapes = tuple(tensor.shape for tensor in record)
                answers[request_id] = self._answer(flight, result, call, outputs, begin, shapes)
        return answers

    def _answer(
        self,
        flight: Flight,
        result: ActionResult,
        call: InferenceCall,
        outputs: tuple[bytes, ...],
        begin_ns: int,
        shapes: tuple[tuple[int, ...], ...] | None = None,
    ) -> InferenceAnswer:
        """`begin_ns`: when reading the outputs began."""
        return InferenceAnswer(
            outputs,
            flight.action.action_id,
            flight.action.batch_size,
            max(0, result.begin_ns - flight.input_ns - call.arrival_ns),
            flight.input_ns,
            result.end_ns - result.begin_ns,
            self._clock() - begin_ns,
            shapes,
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
