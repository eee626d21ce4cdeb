"""One request that was let in, from its decoding to its response. Nothing in it waits: it is called back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from clockwork_triton.errors import QUEUE_FULL, TIMEOUT_EXPIRED, Code, ExecutionError, ServerError
from clockwork_triton.frontend.delivery import deliver
from clockwork_triton.frontend.ensemble import BeginStep, EnsembleRun
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.frontend.request import InferRequest, InferResponse
from clockwork_triton.frontend.response_cache import Key, Outputs, ResponseCache, key_of
from clockwork_triton.frontend.sequences import Extras, Turn
from clockwork_triton.frontend.slo import deadline, overdue
from clockwork_triton.frontend.splitting import Parts
from clockwork_triton.frontend.traced import trace_answer, trace_request
from clockwork_triton.frontend.validation import CheckedRequest, fill_layout
from clockwork_triton.inference import InferenceAnswer, InferenceCall, InferenceEngine
from clockwork_triton.telemetry.stages import Stages
from clockwork_triton.telemetry.statistics import Failure
from clockwork_triton.telemetry.trace import Trace

log = logging.getLogger(__name__)


class Surroundings(NamedTuple):
    """What all executions share. `cache` None: nothing is kept, whatever the models' configurations ask.
    `ended(execution)` is called when one has its response, has failed, or was cancelled. `begin_step` begins
    a step of an ensemble."""

    engine: InferenceEngine
    clock: Callable[[], int]
    cache: ResponseCache | None
    ended: Callable[[Execution], None]
    begin_step: BeginStep


class Execution:
    """`done(response)`, or `done(error)`, is called once, unless `begin` raises or `cancel` comes before."""

    __slots__ = (
        "_around",
        "_cache_key",
        "_call",
        "_checked",
        "_done",
        "_looked_up_ns",
        "_number",
        "_parts",
        "_running",
        "_turn",
        "arrival_ns",
        "model",
        "request",
        "stages",
        "trace",
    )

    _call: InferenceCall
    _cache_key: Key
    _looked_up_ns: int
    _checked: CheckedRequest

    def __init__(
        self,
        around: Surroundings,
        model: PreparedModel,
        arrival_ns: int,
        stages: Stages,
        trace: Trace | None,
        done: Callable[[InferResponse | ServerError], None],
    ) -> None:
        self._around = around
        self._done = done
        self._number = 0
        self._parts: Parts | EnsembleRun | None = None
        self._turn: Turn | None = None
        self._running = True
        self.model = model
        self.arrival_ns = arrival_ns
        self.stages = stages
        self.trace = trace
        self.request: InferRequest | None = None

    def begin(self, decode: Callable[[], InferRequest], transport_deadline_ns: int | None) -> None:
        """ServerError for a request that is not in order, ExecutionError for one that is and fails at once.
        `done` may be called before this returns."""
        try:
            self._begin(decode, transport_deadline_ns)
        except Exception as error:
            raise self._failed(error) from None

    def cancel(self) -> None:
        """Nobody waits for the response any more."""
        if not self._running:
            return
        if self._parts is not None:
            self._parts.cancel()
        else:
            self._around.engine.cancel(self._number)
        self._count_failure(Failure.CANCELED)
        self._end(cancelled=True)

    def _begin(self, decode: Callable[[], InferRequest], transport_deadline_ns: int | None) -> None:
        clock = self._around.clock
        request = self.request = decode()
        self.stages.parsed_ns = clock()
        checked = self._checked = self.model.checker.check(request)
        if self.trace is not None:
            trace_request(self.trace, self.model, request, checked, self.arrival_ns, clock())
        call = self._call = self._admitted(request, checked, transport_deadline_ns)
        cache = self._around.cache
        if cache is not None and self.model.cached:
            begin = clock()
            self._cache_key = key_of(call)
            found = cache.find(self._cache_key)
            self._looked_up_ns = clock() - begin
            if found is not None:
                self.model.statistics.cache_hit.add(self._looked_up_ns)
                self._done(self._response(found, ()))
                return
        engine = self._around.engine
        served = self.model.served
        if served.ensemble is not None:
            run = self._parts = EnsembleRun(
                self._around.begin_step, served, request, call.rows, call.deadline_ns, self._parts_ended
            )
            run.start()
        elif self.model.sequences is not None:
            self._turn = self.model.sequences.join(request.sequence, call.rows, self._turn_came)
        elif call.rows > self.model.largest:
            texts = self.model.checker.text_inputs
            self._parts = Parts(engine, call, self.model.largest, self._parts_ended, texts)
        else:
            self._number = engine.submit(call, self._answered)
        self.stages.admitted_ns = clock()

    def _admitted(
        self, request: InferRequest, checked: CheckedRequest, transport_deadline_ns: int | None
    ) -> InferenceCall:
        """ExecutionError for a request that is late already, or for which there is no place in the queue."""
        model, arrival_ns = self.model, self.arrival_ns
        level = model.queue.level(request.priority)
        policy = model.queue.by_level[level]
        ends = deadline(arrival_ns, request.timeout_us, transport_deadline_ns, policy.budget_ns)
        if ends is not None and overdue(arrival_ns, ends, self._around.clock()):
            raise ExecutionError(Code.UNAVAILABLE, TIMEOUT_EXPIRED)
        model_id = model.served.model_id
        if (
            policy.most_queued
            and model.served.ensemble is None
            and self._around.engine.queued(model_id, level) >= policy.most_queued
        ):
            prefix = f"[request id: {request.id or '<id_unknown>'}] "
            raise ExecutionError(Code.UNAVAILABLE, prefix + QUEUE_FULL)
        return InferenceCall(model_id, checked.rows, checked.inputs, arrival_ns, ends, level, checked.shapes)

    def _turn_came(self, extras: Extras | ServerError) -> None:
        """Those before it in its sequence have ended."""
        if isinstance(extras, ServerError):
            cancelled = extras.code is Code.CANCELLED
            self._fail(ExecutionError(extras.code, extras.message) if cancelled else extras)
            return
        call, sequences = self._call, self.model.sequences
        assert sequences is not None
        shapes = None if call.shapes is None else call.shapes + sequences.shapes
        try:
            self._number = self._around.engine.submit(
                call._replace(inputs=call.inputs + extras, shapes=shapes), self._answered
            )
        except Exception as error:
            self._fail(error)

    # What the engine reports.

    def _answered(self, outcome: InferenceAnswer | ServerError) -> None:
        if isinstance(outcome, ServerError):
            self._fail(ExecutionError(outcome.code, outcome.message))
        else:
            self.stages.moments = outcome.moments
            self._keep_states(outcome.outputs)
            self._executed(Outputs(outcome.outputs, outcome.shapes), (outcome,))

    def _keep_states(self, outputs: tuple[bytes, ...]) -> None:
        """The states of a sequence follow the outputs that clients see."""
        if self._turn is not None and self.model.sequences is not None:
            self.model.sequences.keep(self._turn, outputs[len(self.model.served.outputs) :])

    def _parts_ended(self, outcome: Outputs | ServerError) -> None:
        if isinstance(outcome, ServerError):
            self._fail(ExecutionError(outcome.code, outcome.message))
        else:
            assert self._parts is not None
            answers = self._parts.answers
            moments = max(answer.moments for answer in answers)
            # The steps of an ensemble may all have been answered from the cache.
            self.stages.moments = moments if moments.end_ns else None
            self._executed(outcome, answers)

    def _executed(self, outputs: Outputs, answers: Sequence[InferenceAnswer]) -> None:
        if not self._running:
            return
        cache = self._around.cache
        if cache is not None and self.model.cached:
            begin = self._around.clock()
            cache.insert(self._cache_key, outputs)
            took_ns = self._looked_up_ns + self._around.clock() - begin
            self.model.statistics.cache_miss.add(took_ns)
        try:
            response = self._response(outputs, answers)
        except Exception as error:
            self._fail(error)
        else:
            self._done(response)

    # The end.

    def _response(self, outputs: Outputs, answers: Sequence[InferenceAnswer]) -> InferResponse:
        request, selection = self.request, self._checked.selection
        assert request is not None
        layout = selection.layout
        if outputs.shapes is not None:
            layout = fill_layout(selection, outputs.shapes)
        data = [outputs.tensors[i] for i in selection.indices]
        times = answers[-1] if answers else None
        response = InferResponse(layout, request.id, data, self.trace, times)
        now = self._around.clock()
        if self.trace is not None:
            trace_answer(self.trace, response, self.arrival_ns, times, now)
        if request.options:
            try:
                response = deliver(response, request.options, self.model.served)
            except ServerError as error:
                raise ExecutionError(error.code, error.message) from error
        ends_ns = self._call.deadline_ns
        late = ends_ns is not None and now > ends_ns
        unread_ns = self.stages.begun_ns - self.arrival_ns
        self.model.statistics.succeeded(now, self.arrival_ns, self._checked.rows, late, answers, unread_ns)
        self._end()
        return response

    def _fail(self, error: Exception) -> None:
        if self._running:
            self._done(self._failed(error))

    def _failed(self, error: Exception) -> ServerError:
        """Counts a failure and ends with it. The error for the client."""
        if isinstance(error, ExecutionError):
            self._count_failure(_reason(error))
        elif isinstance(error, ServerError):
            # Triton's statistics and metrics know nothing of requests that are not in order.
            self.model.statistics.invalid += 1
        else:
            name = self.model.served.name
            log.error("An inference of model '%s' failed unexpectedly", name, exc_info=error)
            self._count_failure(Failure.OTHER)
            error = ServerError(Code.INTERNAL, f"internal error in an inference of model '{name}'")
        self._end()
        return error

    def _count_failure(self, reason: Failure) -> None:
        now = self._around.clock()
        answers = self._parts.answers if self._parts is not None else ()
        self.model.statistics.failed(reason, now, self.arrival_ns, answers)
        if self.trace is not None:
            self.trace.stamp("REQUEST_END", now)
            self.trace.end()

    def _end(self, cancelled: bool = False) -> None:
        self._running = False
        if self._turn is not None and self.model.sequences is not None:
            self.model.sequences.leave(self._turn, cancelled)
        # They hold this, and are not to wait for the collector of cycles.
        self._parts = self._turn = None
        self._around.ended(self)


def _reason(error: ServerError) -> Failure:
    if error.code is Code.UNAVAILABLE and error.message.endswith((TIMEOUT_EXPIRED, QUEUE_FULL)):
        return Failure.REJECTED
    if error.code is Code.CANCELLED:
        return Failure.CANCELED
    return Failure.BACKEND
