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
from clockwork_triton.frontend.wire import header, split
from clockwork_triton.inference import Buffer

MAX_MESSAGE_BYTES = 2**31 - 1

_FORM_BYTES = 4096
_MOST_FORMS = 1024
_NO_PARAMETERS = RequestParameters(0, 0, {})
_REQUEST = service_pb2.ModelInferRequest
_RAW_INPUT = _REQUEST.RAW_INPUT_CONTENTS_FIELD_NUMBER
_RESPONSE = service_pb2.ModelInferResponse
_ID = _REQUEST.ID_FIELD_NUMBER
_RESPONSE_ID = _RESPONSE.ID_FIELD_NUMBER
_RAW = _RESPONSE.RAW_OUTPUT_CONTENTS_FIELD_NUMBER
_IN_STREAM = service_pb2.ModelStreamInferResponse.INFER_RESPONSE_FIELD_NUMBER
_FINAL: bytes = _RESPONSE(
    parameters={"triton_final_response": service_pb2.InferParameter(bool_param=True)}
).SerializeToString()


class Form(NamedTuple):
    """What requests of one client have in common: all but their ids and their tensors' data. `tensors`: name,
    datatype and shape of each input, where nothing but data is missing for a request; else None."""

    message: Any
    tensors: tuple[tuple[str, str, tuple[int, ...]], ...] | None = None
    outputs: tuple[str, ...] = ()
    parameters: RequestParameters = _NO_PARAMETERS


class ParsedRequest(NamedTuple):
    """A ModelInferRequest; its id, and its tensor data where it is raw, stand beside it."""

    form: Form
    id: str
    raw: Sequence[Buffer]

    @property
    def message(self) -> Any:
        """Without the id."""
        return self.form.message


def parse_request(data: Buffer) -> ParsedRequest:
    """A serialised ModelInferRequest. DecodeError if it is none."""
    parts = split(data, _ID, _RAW_INPUT)
    if parts is not None:
        form = _forms.get(parts.rest)
        if form is None:
            form = _read_form(parts.rest)
        try:
            return ParsedRequest(form, parts.one.decode() if parts.one else "", parts.many)
        except UnicodeDecodeError:
            pass  # protobuf says what is wrong
    message = _REQUEST.FromString(data)
    return ParsedRequest(Form(message), message.id, message.raw_input_contents)


_forms: dict[bytes, Form] = {}


def _read_form(data: bytes) -> Form:
    """Remembers what it has read. DecodeError if that is no message."""
    message = _REQUEST.FromString(data)
    form = Form(message)
    plain = not any(tensor.parameters or tensor.HasField("contents") for tensor in message.inputs)
    if plain and not any(output.parameters for output in message.outputs):
        try:
            parameters = read_parameters(message.parameters)
        except ServerError:
            return form
        tensors = tuple((t.name, t.datatype, tuple(t.shape)) for t in message.inputs)
        form = Form(message, tensors, tuple(output.name for output in message.outputs), parameters)
    if len(data) <= _FORM_BYTES:
        # Clients choose what is remembered: without a bound one of them could fill the memory.
        if len(_forms) >= _MOST_FORMS:
            _forms.clear()
        _forms[data] = form
    return form


def decode_request(parsed: ParsedRequest, shared_memory: SharedMemory) -> InferRequest:
    """ServerError where the request's parameters or its tensor data are not in order.

    The caller gives back the request's `parts` to `shared_memory` when it has ended.
    """
    form = parsed.form
    if form.tensors is not None and len(form.tensors) == len(parsed.raw):
        timeout_us, priority, custom, sequence = form.parameters
        inputs = [
            InputTensor(name, datatype, shape, data)
            for (name, datatype, shape), data in zip(form.tensors, parsed.raw, strict=True)
        ]
        return InferRequest(inputs, form.outputs, parsed.id, timeout_us, priority, custom, sequence=sequence)
    return _decode_carefully(parsed, shared_memory)


def _decode_carefully(parsed: ParsedRequest, shared_memory: SharedMemory) -> InferRequest:
    message = parsed.form.message
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
        refuse_duplicates([tensor.name for tensor in message.inputs], names, parsed.id)
        raise
    return InferRequest(
        inputs, tuple(names), parsed.id, timeout_us, priority, custom, options, parts, sequence
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


def encode_stream_error(error: ServerError, request: ParsedRequest) -> bytes:
    """A serialised ModelStreamInferResponse that reports a failed request and leaves the stream open.

    As Triton does it: what was wrong from the start has the request's id alone, what failed in execution
    names the model as the request did.
    """
    response = service_pb2.ModelStreamInferResponse(error_message=error.message)
    message = request.message
    response.infer_response.id = request.id
    if isinstance(error, ExecutionError):
        response.infer_response.model_name = message.model_name
        response.infer_response.model_version = message.model_version
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
        parts += (header(_RESPONSE_ID, len(encoded)), encoded)
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
