"""gRPC's inference messages, to and from the data plane's requests and responses.

Responses are written straight as bytes: a protobuf message would copy every tensor once more, and all of a
response but its id and its data is the same for every request of one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ExecutionError, ServerError
from clockwork_triton.frontend.contents import contents_bytes
from clockwork_triton.frontend.parameters import RequestParameters, read_parameters
from clockwork_triton.frontend.refusal import refuse_duplicates
from clockwork_triton.frontend.request import (
    InferRequest,
    InferResponse,
    InputTensor,
    OutputOption,
    ResponseLayout,
)
from clockwork_triton.frontend.shared_memory import RegionPart, SharedMemory
from clockwork_triton.frontend.tensor_parameters import classes_of, region_of
from clockwork_triton.frontend.wire import header, take_out
from clockwork_triton.inference import Buffer

MAX_MESSAGE_BYTES = 2**31 - 1

_LARGE_BYTES = 32 * 1024
"""From here on finding the tensors by hand is cheaper than letting protobuf copy them twice."""

_NO_PARAMETERS = RequestParameters(0, 0, {})
_REQUEST = service_pb2.ModelInferRequest
_RAW_INPUT = _REQUEST.RAW_INPUT_CONTENTS_FIELD_NUMBER
_RESPONSE = service_pb2.ModelInferResponse
_ID = _RESPONSE.ID_FIELD_NUMBER
_RAW = _RESPONSE.RAW_OUTPUT_CONTENTS_FIELD_NUMBER
_IN_STREAM = service_pb2.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER
_FINAL: bytes = _RESPONSE(
    parameters={"triton_final_response": service_pb2.InferParameter(bool_param=True)}
).SerializeToString()


class ParsedRequest(NamedTuple):
    """A ModelInferRequest; its tensor data, where it is raw, stands beside it."""

    message: Any
    raw: Sequence[Buffer]


def parse_request(data: Buffer) -> ParsedRequest:
    """A serialised ModelInferRequest. DecodeError if it is none."""
    parts = take_out(data, _RAW_INPUT) if len(data) >= _LARGE_BYTES else None
    if parts is not None:
        return ParsedRequest(_REQUEST.FromString(parts[0]), parts[1])
    message = _REQUEST.FromString(data)
    return ParsedRequest(message, message.raw_input_contents)


def decode_request(parsed: ParsedRequest, shared_memory: SharedMemory) -> InferRequest:
    """ServerError where the request's parameters or its tensor data are not in order.

    The caller gives back the request's `parts` to `shared_memory` when it has ended.
    """
    message = parsed.message
    parameters = message.parameters
    timeout_us, priority, custom, sequence = read_parameters(parameters) if parameters else _NO_PARAMETERS
    names, special = [], []
    for output in message.outputs:
        names.append(output.name)
        if output.parameters:
            special.append(output)
    parts: list[RegionPart] = []
    try:
        inputs = _inputs(message, parsed.raw, shared_memory, parts)
        options = [_option(output, shared_memory, parts) for output in special]
    except ServerError:
        shared_memory.give_back(parts)
        # Triton looks for duplicates before it looks at data.
        refuse_duplicates([tensor.name for tensor in message.inputs], names, message.id)
        raise
    return InferRequest(
        inputs, tuple(names), message.id, timeout_us, priority, custom, options, parts, sequence
    )


def encode_response(response: InferResponse) -> list[bytes]:
    """A serialised ModelInferResponse, with one raw_output_contents entry per output, in order: in pieces,
    so that no tensor is copied. ServerError if it is larger than a message may be."""
    parts = _parts(response)
    _check_size(parts)
    return parts


def encode_stream_response(response: InferResponse) -> bytes:
    """A serialised ModelStreamInferResponse: the last, because the only one, of its request."""
    parts = _parts(response)
    parts.append(_FINAL)
    return _joined([header(_IN_STREAM, sum(map(len, parts))), *parts])


def encode_stream_error(error: ServerError, request: Any) -> bytes:
    """A serialised ModelStreamInferResponse that reports a failed request and leaves the stream open.

    As Triton does it: what was wrong from the start has the request's id alone, what failed in execution
    names the model as the request did.
    """
    response = service_pb2.ModelStreamInferResponse(error_message=error.message)
    response.infer_response.id = request.id
    if isinstance(error, ExecutionError):
        response.infer_response.model_name = request.model_name
        response.infer_response.model_version = request.model_version
        response.infer_response.parameters["triton_final_response"].bool_param = True
    encoded: bytes = response.SerializeToString()
    return encoded


def _inputs(
    message: Any, raw: Sequence[Buffer], shared_memory: SharedMemory, parts: list[RegionPart]
) -> list[InputTensor]:
    """What is taken of shared memory is added to `parts`."""
    model = message.model_name
    inputs = []
    next_raw = 0
    for tensor in message.inputs:
        name, datatype = tensor.name, tensor.datatype
        region = region_of(name, tensor.parameters) if tensor.parameters else None
        data: Buffer | RegionPart
        if region is not None:
            if tensor.HasField("contents"):
                _fail(
                    "unexpected 'content' provided when using shared memory for input tensor "
                    f"'{name}' for model '{model}'"
                )
            parts.append(shared_memory.take(*region))
            data = parts[-1].read() if datatype == "BYTES" else parts[-1]
        elif tensor.HasField("contents"):
            if raw:
                _fail(
                    "contents field must not be specified when using raw_input_contents "
                    f"for '{name}' for model '{model}'"
                )
            data = contents_bytes(tensor.contents, name, datatype, model)
        elif next_raw < len(raw):
            data = raw[next_raw]
            next_raw += 1
        else:
            _fail(f"unable to find data for input tensor '{name}' for model '{model}' in request.")
        inputs.append(InputTensor(name, datatype, tuple(tensor.shape), data))
    return inputs


def _option(output: Any, shared_memory: SharedMemory, parts: list[RegionPart]) -> OutputOption:
    region = region_of(output.name, output.parameters)
    classes = classes_of(output.parameters)
    if region is None:
        return OutputOption(output.name, classes)
    if classes:
        _fail("output can't set both 'shared_memory_region' and 'classification'")
    parts.append(shared_memory.take(*region))
    return OutputOption(output.name, region=parts[-1])


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)


@lru_cache(maxsize=1024)
def _prefix(layout: ResponseLayout) -> bytes:
    message = _RESPONSE(model_name=layout.model_name, model_version=layout.model_version)
    for tensor in layout.tensors:
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    encoded: bytes = message.SerializeToString()
    return encoded


def _parts(response: InferResponse) -> list[bytes]:
    parts = [_prefix(response.layout)]
    if response.id:
        encoded = response.id.encode()
        parts += (header(_ID, len(encoded)), encoded)
    for data in response.data:
        parts += (header(_RAW, len(data)), data)
    return parts


def _check_size(parts: list[bytes]) -> None:
    size = sum(map(len, parts))
    if size > MAX_MESSAGE_BYTES:
        _fail(f"Response has byte size {size} which exceeds gRPC's byte size limit {MAX_MESSAGE_BYTES}.")


def _joined(parts: list[bytes]) -> bytes:
    _check_size(parts)
    return b"".join(parts)
