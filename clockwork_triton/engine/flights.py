"""The actions under way, and the tensors that travel with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.engine.host_io import read_answers, write_calls
from clockwork_triton.engine.worker_process import WorkerProcess
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.inference import Done, InferenceAnswer, InferenceCall, Moments, as_bytes
from clockwork_triton.transport.messages import Part

SHORT_NS = 100_000


class Waiting:
    """A call that is not answered yet. `done` is None once nobody waits for it. `answer`, once its action is
    back: or why there is none, although the action went well."""

    __slots__ = ("answer", "call", "done")

    def __init__(self, call: InferenceCall, done: Done) -> None:
        self.call = call
        self.done: Done | None = done
        self.answer: InferenceAnswer | ServerError | None = None


@dataclass(slots=True)
class Flight:
    """An action at a worker. `row_of`: where the rows of each request begin in the batch."""

    action: Action
    worker: WorkerProcess
    short: bool
    slot: int = -1
    row_of: dict[int, int] = field(default_factory=dict)
    decided_ns: int = 0
    laid_ns: int = 0
    sent_ns: int = 0


class Flights:
    """From the dispatch of an action to its result."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._flights: dict[int, Flight] = {}
        # How many of them are INFERs that take hardly longer than sending them does.
        self._short = 0

    def all_short(self, workers: int) -> bool:
        """Whether there is as much as one short INFER for each worker under way, and nothing else."""
        return 0 < workers <= self._short == len(self._flights)

    def depart(
        self, action: Action, worker: WorkerProcess, calls: Sequence[InferenceCall], manifest: Manifest
    ) -> None:
        """Sends the action; `calls`, those of its requests, are laid into a slot first."""
        flight = Flight(action, worker, action.kind is ActionKind.INFER and action.expected_ns < SHORT_NS)
        parts: list[Part] = []
        flight.decided_ns = flight.laid_ns = self._clock()
        if action.kind is ActionKind.INFER:
            flight.slot = worker.region.take()
            row = 0
            for request_id, call in zip(action.request_ids, calls, strict=True):
                flight.row_of[request_id] = row
                if call.block is not None:
                    parts.append(Part(*call.block, row, call.rows))
                row += call.rows
            if manifest.compiled:
                worker.region.write_inputs(flight.slot, manifest, action.batch_size, calls)
            else:
                write_calls(worker.region.slot(flight.slot), manifest, action.batch_size, calls)
            flight.laid_ns = self._clock()
        self._flights[action.action_id] = flight
        self._short += flight.short
        worker.send(action, max(flight.slot, 0), parts)
        flight.sent_ns = self._clock()

    def land(
        self,
        result: ActionResult,
        received_ns: int,
        waiting: Mapping[int, Waiting],
        manifests: Mapping[int, Manifest],
    ) -> Action:
        """The action that ended. Those of its requests that still wait are given their answers.

        A request may have been given up while its worker was overdue.
        """
        flight = self._flights.pop(result.action_id)
        self._short -= flight.short
        if flight.slot >= 0:
            if result.status is Status.OK:
                self._give_answers(flight, result, received_ns, waiting, manifests[flight.action.model_id])
            flight.worker.region.give_back(flight.slot)
        return flight.action

    def _give_answers(
        self,
        flight: Flight,
        result: ActionResult,
        received_ns: int,
        waiting: Mapping[int, Waiting],
        manifest: Manifest,
    ) -> None:
        begin = self._clock()
        action, region = flight.action, flight.worker.region
        moments = Moments(flight.decided_ns, flight.sent_ns, result.begin_ns, result.end_ns, received_ns)
        input_ns = flight.laid_ns - flight.decided_ns
        infer_ns = result.end_ns - result.begin_ns
        layout = manifest.slot(action.batch_size) if manifest.compiled else None
        records = () if layout is not None or not flight.row_of else read_answers(region.slot(flight.slot))
        leads = True
        for place, (request_id, row) in enumerate(flight.row_of.items()):
            asking = waiting.get(request_id)
            if asking is None:
                continue
            call, shapes = asking.call, None
            outputs: tuple[bytes, ...] = ()
            if layout is None:
                record = records[place]
                if isinstance(record, str):
                    asking.answer = ServerError(Code.INTERNAL, f"{manifest.runtime}: {record}")
                    continue
                outputs = tuple(as_bytes(tensor.data) for tensor in record)
                shapes = tuple(tensor.shape for tensor in record)
            elif call.block is None:
                outputs = region.read_outputs(flight.slot, manifest, layout, row, call.rows)
            asking.answer = InferenceAnswer(
                outputs,
                action.action_id,
                action.batch_size,
                max(0, result.begin_ns - input_ns - call.arrival_ns),
                input_ns,
                infer_ns,
                self._clock() - begin,
                moments,
                shapes,
                leads and asking.done is not None,
            )
            leads = leads and asking.done is None

    def at(self, worker_id: int) -> list[Action]:
        """The actions under way at a worker."""
        return [f.action for f in self._flights.values() if f.action.worker_id == worker_id]

    def under_way(self, action_id: int) -> bool:
        return action_id in self._flights

    def lose(self, worker_id: int) -> None:
        """Forgets what was under way at a worker that is gone, slots and all."""
        for action in self.at(worker_id):
            self._short -= self._flights.pop(action.action_id).short
