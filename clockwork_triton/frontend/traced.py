"""What a request's trace says of it, in the order in which Triton writes it."""

from __future__ import annotations

from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.frontend.request import InferRequest, InferResponse
from clockwork_triton.frontend.validation import CheckedRequest
from clockwork_triton.inference import InferenceAnswer, as_bytes
from clockwork_triton.telemetry.trace import Trace


def trace_request(
    trace: Trace,
    model: PreparedModel,
    request: InferRequest,
    checked: CheckedRequest,
    arrival_ns: int,
    now_ns: int,
) -> None:
    """A request that is in order and goes to the engine now."""
    trace.begin(model.served.name, model.served.version, request.id)
    trace.stamp("REQUEST_START", arrival_ns)
    trace.stamp("QUEUE_START", now_ns)
    if trace.tensors:
        shapes = {tensor.name: tensor.shape for tensor in request.inputs}
        for rule in model.checker.inputs:
            data = as_bytes(checked.inputs[rule.index])
            trace.tensor("TENSOR_QUEUE_INPUT", rule.name, rule.datatype, shapes[rule.name], data)


def trace_answer(
    trace: Trace, response: InferResponse, arrival_ns: int, answer: InferenceAnswer | None, now_ns: int
) -> None:
    """What comes back. Of a request run in parts `answer` is the last; from the cache there is none."""
    for tensor, data in zip(response.layout.tensors, response.data, strict=True):
        trace.tensor("TENSOR_BACKEND_OUTPUT", tensor.name, tensor.datatype, tensor.shape, data)
    if answer is not None:
        trace.stamp_stages(arrival_ns, answer)
    trace.stamp("REQUEST_END", now_ns)
