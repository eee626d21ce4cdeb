"""POST .../generate and .../generate_stream: an inference whose inputs and outputs are members of one object.

An ONNX model answers once, so its stream is of one event.
"""

from __future__ import annotations

from typing import Any, NoReturn

import orjson

from clockwork_triton.errors import Code, ExecutionError, ServerError
from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.frontend.http.exchange import JSON, HttpRequest, HttpResponse
from clockwork_triton.frontend.http.json_parameters import read_json_parameters
from clockwork_triton.frontend.http.json_tensors import json_data, tensor_bytes
from clockwork_triton.frontend.http.json_values import as_object, as_string, parse
from clockwork_triton.frontend.prepared import PreparedModel
from clockwork_triton.frontend.request import InferRequest, InferResponse, InputTensor
from clockwork_triton.frontend.shapes import TensorRule

EVENT_STREAM = "text/event-stream; charset=utf-8"

# Triton keeps the members in a sorted map.
_WRITTEN = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_SORT_KEYS


class Generation:
    """ServerErrors are the data plane's, or say what is wrong with the body."""

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    async def generate(self, request: HttpRequest, name: str, version: str) -> HttpResponse:
        response = await self._infer(request, name, version)
        return HttpResponse(200, (orjson.dumps(_document(response), option=_WRITTEN),), JSON)

    async def stream(self, request: HttpRequest, name: str, version: str) -> HttpResponse:
        """What fails in execution is an event too."""
        try:
            document = _document(await self._infer(request, name, version))
        except ExecutionError as error:
            document = {"error": error.message}
        event = b"data: " + orjson.dumps(document, option=_WRITTEN) + b"\n\n"
        return HttpResponse(200, (event,), EVENT_STREAM)

    async def _infer(self, request: HttpRequest, name: str, version: str) -> InferResponse:
        model = self._plane.model(name, version)
        if request.headers.get("content-encoding", "identity") != "identity":
            _fail("Unsupported content-encoding, only 'identity' is supported.")
        response = await self._plane.infer(
            name, version, lambda: read_generate_request(request.body, model), request.arrival_ns
        )
        if response.trace is not None:
            response.trace.end()
        return response


def read_generate_request(body: bytes | memoryview, model: PreparedModel) -> InferRequest:
    """Members called as inputs are these, others are parameters; those of `parameters` as well."""
    members = dict(as_object(parse(body), "Expected JSON object"))
    members |= as_object(members.pop("parameters", {}), "Expected JSON object for keyword: 'parameters'")
    rules = {rule.name: rule for rule in model.checker.inputs}
    batches = model.served.max_batch_size > 0
    inputs = [_input(rules[key], value, batches) for key, value in members.items() if key in rules]
    parameters = {key: value for key, value in members.items() if key not in rules}
    request_id = as_string(parameters.pop("id", ""), "Unable to parse 'id'")
    (timeout_us, priority, custom, sequence), _ = read_json_parameters(parameters)
    return InferRequest(inputs, (), request_id, timeout_us, priority, custom, sequence=sequence)


def _input(rule: TensorRule, value: Any, batches: bool) -> InputTensor:
    """A value or a list of values, in the innermost of the open dimensions; the others are 1."""
    values = value if isinstance(value, list) else [value]
    left = len(values)
    shape = [-1, *rule.dims] if batches else list(rule.dims)
    for dim in shape:
        if dim != -1:
            if dim == 0 or left % dim:
                _unfit(rule)
            left //= dim
    for place in reversed(range(len(shape))):
        if shape[place] == -1:
            shape[place], left = left, 1
    if left != 1:
        _unfit(rule)
    return InputTensor(
        rule.name, rule.datatype, tuple(shape), tensor_bytes(rule.name, rule.datatype, shape, values)
    )


def _document(response: InferResponse) -> dict[str, Any]:
    """A tensor of one element is that element, of several a flat list."""
    document: dict[str, Any] = {"id": response.id} if response.id else {}
    document["model_name"] = response.layout.model_name
    document["model_version"] = response.layout.model_version
    for tensor, data in zip(response.layout.tensors, response.data, strict=True):
        values = json_data(tensor.datatype, data)
        one = not isinstance(values, orjson.Fragment) and len(values) == 1
        document[tensor.name] = values[0] if one else values
    return document


def _unfit(rule: TensorRule) -> NoReturn:
    _fail(f"The schema can not convert input '{rule.name}' to tensor with proper shape")


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
