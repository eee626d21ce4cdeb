"""The engine as a front end in a process of its own sees it: at the other end of a channel."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

from clockwork_triton.artifact.manifest import Slot, lay_out
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.gateway.arena import Arena
from clockwork_triton.gateway.table import ModelTable
from clockwork_triton.inference import BUFFER_TYPES, Done, InferenceAnswer, InferenceCall, Moments
from clockwork_triton.repository.model import ServedModel
from clockwork_triton.transport.clockwork_pb2 import Answer, Envelope

_MOST_LAYOUTS = 1024


class _Waiting:
    """A call whose block is in use. `done` is None once nobody waits for it."""

    __slots__ = ("done", "layout", "level", "model", "place", "rows")

    def __init__(
        self, model: ServedModel, rows: int, level: int, layout: Slot, place: int, done: Done
    ) -> None:
        self.model = model
        self.rows = rows
        self.level = level
        self.layout = layout
        self.place = place
        self.done: Done | None = done


class RemoteEngine:
    """See InferenceEngine. Only the facts of a call go over the channel (`send`); its tensors are laid into
    the arena, where the worker fetches them. What comes in one turn of the event loop leaves in one message.
    """

    def __init__(
        self,
        models: ModelTable,
        arena: Arena,
        send: Callable[[Envelope], None],
        at_turn_end: Callable[[Callable[[], None]], None],
    ) -> None:
        self._models = models
        self._arena = arena
        self._send = send
        self._at_turn_end = at_turn_end
        self._numbers = itertools.count(1)
        self._waiting: dict[int, _Waiting] = {}
        self._layouts: dict[tuple[int, int], Slot] = {}
        self._outgoing = Envelope()
        self._leaves = False

    def submit(self, call: InferenceCall, done: Done) -> int:
        """UNAVAILABLE where the arena has no room left."""
        model = self._models.by_id(call.model_id)
        key = call.model_id, call.rows
        layout = self._layouts.get(key)
        if layout is None:
            if len(self._layouts) >= _MOST_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = lay_out(model.inputs, model.outputs, call.rows)
        place = self._arena.take(layout.bytes)
        if place is None:
            raise ServerError(Code.UNAVAILABLE, "the server has no memory left for tensors")
        view = self._arena.view
        for data, offset in zip(call.inputs, layout.inputs, strict=True):
            target = view[place + offset : place + offset + len(data)]
            if isinstance(data, BUFFER_TYPES):
                target[:] = data
            else:
                data.read_into(target)
        number = next(self._numbers)
        self._waiting[number] = _Waiting(model, call.rows, call.priority, layout, place, done)
        message = self._outgoing.calls.calls.add()
        message.number = number
        message.model_id = call.model_id
        message.rows = call.rows
        message.arrival_ns = call.arrival_ns
        if call.deadline_ns is not None:
            message.deadline_ns = call.deadline_ns
        message.priority = call.priority
        message.place = place
        self._leave()
        return number

    def cancel(self, number: int) -> None:
        """See InferenceEngine. The block stays taken until the controller's process lets go of it too."""
        waiting = self._waiting.get(number)
        if waiting is not None and waiting.done is not None:
            waiting.done = None
            self._outgoing.calls.cancelled.append(number)
            self._leave()

    def up(self) -> bool:
        """Only the controller's process knows, and it answers whoever wants to."""
        return True

    def queued(self, model_id: int, priority: int) -> int:
        """Of this front end, those at a worker included: what others have is not known here."""
        return sum(w.model.model_id == model_id and w.level == priority for w in self._waiting.values())

    def answered(self, answers: Sequence[Answer]) -> None:
        """What the controller's process says."""
        for answer in answers:
            waiting = self._waiting.pop(answer.number)
            done = waiting.done
            outcome: InferenceAnswer | ServerError | None = None
            if done is not None:
                outcome = self._outcome(waiting, answer)
            self._arena.give_back(waiting.place, waiting.layout.bytes)
            if done is not None and outcome is not None:
                done(outcome)

    def _outcome(self, waiting: _Waiting, answer: Answer) -> InferenceAnswer | ServerError:
        if answer.code:
            return ServerError(Code(answer.code), answer.message)
        view, place = self._arena.view, waiting.place
        outputs = tuple(
            bytes(view[place + offset : place + offset + waiting.rows * tensor.row_bytes])
            for tensor, offset in zip(waiting.model.outputs, waiting.layout.outputs, strict=True)
        )
        return InferenceAnswer(
            outputs,
            answer.action_id,
            answer.executed_rows,
            answer.queue_ns,
            answer.input_ns,
            answer.infer_ns,
            answer.output_ns,
            Moments(*answer.moments),
            leads=answer.leads,
        )

    def _leave(self) -> None:
        if not self._leaves:
            self._leaves = True
            self._at_turn_end(self._flush)

    def _flush(self) -> None:
        envelope, self._outgoing = self._outgoing, Envelope()
        self._leaves = False
        self._send(envelope)
