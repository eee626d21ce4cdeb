"""gRPC's inference messages, to and from the data plane's requests and responses.

Responses are written straight as bytes: a protobuf message would copy every tensor once more, and all of a
response but its id and its data is the same for every request of one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, NoReturn

from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.contents import contents_bytes
from clockwork_triton.frontend.parameters import RequestParameters, read_parameters
from clockwork_triton.frontend.refusal import refuse_duplicates
from clockwork_triton.frontend.request import InferRequest, InferResponse, InputTensor, ResponseLayout
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


def decode_request(parsed: ParsedRequest) -> InferRequest:
    """ServerError where the request's parameters or its tensor data are not in order."""
    message = parsed.message
    parameters = message.parameters
    timeout_us, priority, custom = read_parameters(parameters) if parameters else _NO_PARAMETERS
    names, special = [], []
    for output in message.outputs:
        names.append(output.name)
        if output.parameters:
            special.append(output.parameters)
    try:
        inputs = _inputs(message, parsed.raw)
        for output_parameters in special:
            _check_output_parameters(output_parameters)
    except ServerError:
        # Triton looks for duplicates before it looks at data.
        refuse_duplicates([tensor.name for tensor in message.inputs], names)
        raise
    return InferRequest(inputs, tuple(names), message.id, timeout_us, priority, custom)


def encode_response(response: InferResponse) -> bytes:
    """A serialised ModelInferResponse, with one raw_output_contents entry per output, in order."""
    parts = _parts(response)
    return _joined(parts)


def encode_stream_response(response: InferResponse) -> bytes:
    """A serialised ModelStreamInferResponse: the last, because the only one, of its request."""
    parts = _parts(response)
    parts.append(_FINAL)
    return _joined([header(_IN_STREAM, sum(map(len, parts))), *parts])


def encode_stream_error(message: str, request_id: str) -> bytes:
    """A serialised ModelStreamInferResponse that reports a failed request and leaves the stream open."""
    response = service_pb2.ModelStreamInferResponse(error_message=message)
    response.infer_response.id = request_id
    encoded: bytes = response.SerializeToString()
    return encoded


def _inputs(message: Any, raw: Sequence[Buffer]) -> list[InputTensor]:
    model = message.model_name
    inputs = []
    for index, tensor in enumerate(message.inputs):
        name, datatype = tensor.name, tensor.datatype
        if tensor.parameters:
            _check_input_parameters(tensor, model)
        data: Buffer
        if tensor.HasField("contents"):
            if raw:
                _fail(
                    "contents field must not be specified when using raw_input_contents "
                    f"for '{name}' for model '{model}'"
                )
            data = contents_bytes(tensor.contents, name, datatype, model)
        elif index < len(raw):
            data = raw[index]
        else:
            _fail(f"unable to find data for input tensor '{name}' for model '{model}' in request.")
        inputs.append(InputTensor(name, datatype, tuple(tensor.shape), data))
    return inputs


def _check_input_parameters(tensor: Any, model: str) -> None:
    if "shared_memory_region" in tensor.parameters:
        if tensor.HasField("contents"):
            _fail(
                "unexpected 'content' provided when using shared memory for input tensor "
                f"'{tensor.name}' for model '{model}'"
            )
        _no_region(tensor.parameters)


def _check_output_parameters(parameters: Any) -> None:
    if "shared_memory_region" in parameters:
        _no_region(parameters)
    if "classification" in parameters:
        raise ServerError(Code.UNSUPPORTED, "the classification extension is not supported by this server")


def _no_region(parameters: Any) -> NoReturn:
    region = parameters["shared_memory_region"].string_param
    raise ServerError(Code.NOT_FOUND, f"Unable to find shared memory region: '{region}'")


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


def _joined(parts: list[bytes]) -> bytes:
    size = sum(map(len, parts))
    if size > MAX_MESSAGE_BYTES:
        _fail(f"Response has byte size {size} which exceeds gRPC's byte size limit {MAX_MESSAGE_BYTES}.")
    return b"".join(parts)
