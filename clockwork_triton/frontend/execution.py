"""One request that has been decoded, from its checks to its response."""

from __future__ import annotations

from collections.abc import Callable

from clockwork_triton.errors import QUEUE_FULL, TIMEOUT_EXPIRED, Code, ExecutionError, ServerError
from clockwork_triton.frontend.delivery import deliver
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.frontend.request import InferRequest, InferResponse
from clockwork_triton.frontend.response_cache import Outputs, ResponseCache, key_of
from clockwork_triton.frontend.slo import deadline
from clockwork_triton.frontend.splitting import infer_in_parts
from clockwork_triton.frontend.traced import trace_answer, trace_request
from clockwork_triton.frontend.validation import CheckedRequest, fill_layout
from clockwork_triton.inference import InferenceAnswer, InferenceCall, InferenceEngine
from clockwork_triton.telemetry.trace import Trace


class Execution:
    """`cache` None: nothing is kept, whatever the models' configurations ask."""

    def __init__(
        self, engine: InferenceEngine, clock: Callable[[], int], cache: ResponseCache | None
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._cache = cache

    async def run(
        self,
        model: PreparedModel,
        request: InferRequest,
        arrival_ns: int,
        transport_deadline_ns: int | None,
        answers: list[InferenceAnswer],
        trace: Trace | None,
    ) -> InferResponse:
        """`answers` receives what the engine answered, also where the request fails after it.

        ServerError for a request that is not in order, ExecutionError for one that is and fails.
        """
        checked = model.checker.check(request)
        if trace is not None:
            trace_request(trace, model, request, checked, arrival_ns, self._clock())
        call = self._admitted(model, request, checked, arrival_ns, transport_deadline_ns)
        if self._cache is not None and model.cached:
            outputs = await self._through_cache(self._cache, model, call, answers)
        else:
            outputs = await self._execute(model, call, answers)
        selection = checked.selection
        layout = selection.layout
        if outputs.shapes is not None:
            layout = fill_layout(selection, outputs.shapes)
        data = [outputs.tensors[i] for i in selection.indices]
        response = InferResponse(layout, request.id, data, trace)
        now = self._clock()
        if trace is not None:
            trace_answer(trace, response, arrival_ns, answers[-1] if answers else None, now)
        if request.options:
            try:
                response = deliver(response, request.options, model.served)
            except ServerError as error:
                raise ExecutionError(error.code, error.message) from error
        late = call.deadline_ns is not None and now > call.deadline_ns
        model.statistics.succeeded(now, arrival_ns, checked.rows, late, answers)
        return response

    def _admitted(
        self,
        model: PreparedModel,
        request: InferRequest,
        checked: CheckedRequest,
        arrival_ns: int,
        transport_deadline_ns: int | None,
    ) -> InferenceCall:
        """ExecutionError for a request that is late already, or for which there is no place in the queue."""
        level = model.queue.level(request.priority)
        policy = model.queue.by_level[level]
        ends = deadline(arrival_ns, request.timeout_us, transport_deadline_ns, policy.budget_ns)
        if ends is not None and ends <= self._clock():
            raise ExecutionError(Code.UNAVAILABLE, TIMEOUT_EXPIRED)
        model_id = model.served.model_id
        if policy.most_queued and self._engine.queued(model_id, level) >= policy.most_queued:
            prefix = f"[request id: {request.id or '<id_unknown>'}] "
            raise ExecutionError(Code.UNAVAILABLE, prefix + QUEUE_FULL)
        return InferenceCall(model_id, checked.rows, checked.inputs, arrival_ns, ends, level, checked.shapes)

    async def _execute(
        self, model: PreparedModel, call: InferenceCall, answers: list[InferenceAnswer]
    ) -> Outputs:
        try:
            if call.rows > model.largest:
                return await infer_in_parts(
                    self._engine, call, model.largest, answers, model.checker.text_inputs
                )
            answer = await self._engine.infer(call)
        except ServerError as error:
            raise ExecutionError(error.code, error.message) from error
        answers.append(answer)
        return Outputs(answer.outputs, answer.shapes)

    async def _through_cache(
        self, cache: ResponseCache, model: PreparedModel, call: InferenceCall, answers: list[InferenceAnswer]
    ) -> Outputs:
        begin = self._clock()
        key = key_of(call)
        found = cache.find(key)
        looked_up_ns = self._clock() - begin
        if found is not None:
            model.statistics.cache_hit.add(looked_up_ns)
            return found
        outputs = await self._execute(model, call, answers)
        begin = self._clock()
        cache.insert(key, outputs)
        model.statistics.cache_miss.add(looked_up_ns + self._clock() - begin)
        return outputs
