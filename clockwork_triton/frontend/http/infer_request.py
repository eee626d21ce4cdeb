"""An inference request over HTTP: JSON, JSON with binary tensors behind it, or the bytes of one tensor."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple, NoReturn

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http.json_parameters import NO_PARAMETERS, read_json_parameters
from clockwork_triton.frontend.http.json_tensors import tensor_bytes
from clockwork_triton.frontend.http.json_values import (
    as_array,
    as_bool,
    as_string,
    as_uint,
    find,
    member,
    parse,
)
from clockwork_triton.frontend.refusal import refuse_duplicates
from clockwork_triton.frontend.request import InferRequest, InputTensor, OutputOption
from clockwork_triton.frontend.shared_memory import RegionPart, SharedMemory
from clockwork_triton.inference import Buffer


class Form(Enum):
    """How an output is sent. REGION: it is not, it lies in shared memory."""

    JSON = "json"
    BINARY = "binary"
    REGION = "region"


class HttpInferRequest(NamedTuple):
    """`forms`: of the outputs that say how they are wanted; `form` of the rest."""

    request: InferRequest
    forms: Mapping[str, Form]
    form: Form


def read_infer_request(
    body: memoryview, header_length: int, model: str, shared_memory: SharedMemory
) -> HttpInferRequest:
    """`body`: JSON in its first `header_length` bytes, then the binary tensors.

    ServerError in Triton's words. The caller gives back the request's `parts` to `shared_memory` when it has
    ended.
    """
    document = parse(body[:header_length])
    request_id = find(document, "id")
    request_id = "" if request_id is None else as_string(request_id, "Unable to parse 'id'")
    parameters = find(document, "parameters")
    (timeout_us, priority, custom, sequence), binary = (
        NO_PARAMETERS if parameters is None else read_json_parameters(parameters)
    )
    reader = _Reader(body[header_length:], header_length, model, shared_memory)
    try:
        names: set[str] = set()
        inputs = []
        for entry in as_array(
            member(document, "inputs", "Unable to parse 'inputs'"), "Unable to parse 'inputs'"
        ):
            inputs.append(reader.input(entry))
            name = inputs[-1].name
            if name in names:
                refuse_duplicates([name, name], (), request_id)
            names.add(name)
        reader.check_nothing_left()
        outputs = find(document, "outputs")
        if outputs is not None:
            for entry in as_array(outputs, "Unable to parse 'outputs'"):
                reader.output(entry)
    except ServerError:
        shared_memory.give_back(reader.parts)
        raise
    request = InferRequest(
        inputs,
        tuple(reader.outputs),
        request_id,
        timeout_us,
        priority,
        custom,
        reader.options,
        reader.parts,
        sequence,
    )
    return HttpInferRequest(request, reader.forms, Form.BINARY if binary else Form.JSON)


class _Reader:
    """Goes through the tensors of a request in order, and through the binary data with them."""

    def __init__(
        self, binary: memoryview, header_length: int, model: str, shared_memory: SharedMemory
    ) -> None:
        self.parts: list[RegionPart] = []
        self.outputs: list[str] = []
        self.options: list[OutputOption] = []
        self.forms: dict[str, Form] = {}
        self._binary = binary
        self._header_length = header_length
        self._model = model
        self._shared_memory = shared_memory

    def input(self, entry: Any) -> InputTensor:
        parameters = find(entry, "parameters")
        data = find(entry, "data")
        _check_one_source(entry, parameters)
        name = as_string(member(entry, "name", "Unable to parse 'name'"), "Unable to parse 'name'")
        unable = "Unable to parse 'datatype'"
        datatype = as_string(member(entry, "datatype", unable), unable)
        unable = "Unable to parse 'shape'"
        shape = tuple(as_uint(dim, unable) for dim in as_array(member(entry, "shape", unable), unable))
        content: Buffer | RegionPart
        binary_size = find(parameters, "binary_data_size")
        if binary_size is not None:
            content = self._take_binary(name, as_uint(binary_size, "Unable to parse 'binary_data_size'"))
        elif (part := self._region(parameters)) is not None:
            content = part.read() if datatype == "BYTES" else part
        else:
            content = tensor_bytes(name, datatype, shape, data)
        return InputTensor(name, datatype, shape, content)

    def output(self, entry: Any) -> None:
        parameters = find(entry, "parameters")
        _check_output(parameters)
        name = as_string(member(entry, "name", "Unable to parse 'name'"), "Unable to parse 'name'")
        if name in self.outputs:
            _fail(f"Duplicate output name '{name}' is not allowed in a request")
        self.outputs.append(name)
        wanted = find(parameters, "classification")
        classes = 0 if wanted is None else as_uint(wanted, "Unable to set 'classification'")
        part = self._region(parameters)
        if part is not None:
            self.options.append(OutputOption(name, region=part))
            self.forms[name] = Form.REGION
            return
        if classes:
            self.options.append(OutputOption(name, classes))
        binary = find(parameters, "binary_data")
        if binary is not None:
            binary = as_bool(binary, "Unable to parse 'binary_data'")
        # As in Triton the request's `binary_data_output` is only about outputs that are not named.
        self.forms[name] = Form.BINARY if binary else Form.JSON

    def check_nothing_left(self) -> None:
        if len(self._binary):
            _fail(f"unexpected additional input data for model '{self._model}'")

    def _take_binary(self, name: str, size: int) -> memoryview:
        if size > len(self._binary):
            _fail(
                f"unexpected size for input '{name}', expecting {size - len(self._binary)} additional bytes "
                f"for model '{self._model}'"
            )
        taken = self._binary[:size]
        self._binary = self._binary[size:]
        return taken

    def _region(self, parameters: Any) -> RegionPart | None:
        region = find(parameters, "shared_memory_region")
        if region is None:
            return None
        name = as_string(region, "Unable to parse 'shared_memory_region'")
        numbers = []
        for key in ("shared_memory_offset", "shared_memory_byte_size"):
            value = find(parameters, key)
            numbers.append(0 if value is None else as_uint(value, f"Unable to parse '{key}'"))
        self.parts.append(self._shared_memory.take(name, *numbers))
        return self.parts[-1]


def _check_one_source(entry: Any, parameters: Any) -> None:
    given = [
        name
        for name, there in (
            ("data", isinstance(entry, dict) and "data" in entry),
            ("binary_data_size", isinstance(parameters, dict) and "binary_data_size" in parameters),
            ("shared_memory_region", isinstance(parameters, dict) and "shared_memory_region" in parameters),
        )
        if there
    ]
    if len(given) != 1:
        found = " set" + "".join(f" '{name}'" for name in given) if given else " no field is set"
        _fail(
            "Input must set only one of the following fields: 'data', 'binary_data_size' in 'parameters', "
            f"'shared_memory_region' in 'parameters'. But{found}"
        )


def _check_output(parameters: Any) -> None:
    if not isinstance(parameters, dict) or "shared_memory_region" not in parameters:
        return
    if "classification" in parameters:
        _fail("Output can't set both 'shared_memory_region' and 'classification'")
    if "binary_data" in parameters and as_bool(parameters["binary_data"], "Unable to set 'binary_data'"):
        _fail("Output can't set both 'shared_memory_region' and 'binary_data'")


def _fail(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
