from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ExecutionError, ServerError
from clockwork_triton.frontend import codec
from clockwork_triton.frontend.request import (
    InferRequest,
    InferResponse,
    InputTensor,
    OutputOption,
    OutputTensor,
    ResponseLayout,
)
from clockwork_triton.frontend.shared_memory import RegionPart, SharedMemory
from tests.frontend.messages import COUNTED, ONES, infer_request, parameter


@pytest.fixture
def memory(tmp_path: Path) -> SharedMemory:
    """Region `r`: 256 bytes that count up."""
    (tmp_path / "object").write_bytes(bytes(range(256)))
    memory = SharedMemory(True, tmp_path)
    memory.register("r", "/object", 0, 256)
    return memory


def in_region(tensor: Any, name: str, byte_size: int, offset: int = 0) -> None:
    tensor.parameters["shared_memory_region"].string_param = name
    tensor.parameters["shared_memory_byte_size"].int64_param = byte_size
    if offset:
        tensor.parameters["shared_memory_offset"].int64_param = offset


def decode(request: Any, memory: SharedMemory | None = None) -> InferRequest:
    return codec.decode_request(codec.parse_request(request.SerializeToString()), memory or SharedMemory())


def refusal(request: Any) -> tuple[Code, str]:
    with pytest.raises(ServerError) as caught:
        decode(request)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("raw", [True, False])
def test_raw_and_typed_tensors_are_the_same(raw: bool) -> None:
    request = infer_request(raw, id="7", parameters={"timeout": parameter(int64_param=9)})
    request.outputs.add(name="OUTPUT1")
    decoded = decode(request)
    assert list(decoded.inputs) == [
        InputTensor("INPUT0", "INT32", (1, 16), COUNTED.tobytes()),
        InputTensor("INPUT1", "INT32", (1, 16), ONES.tobytes()),
    ]
    assert (decoded.outputs, decoded.id, decoded.timeout_us, decoded.priority) == (("OUTPUT1",), "7", 9, 0)


def test_a_tensor_with_contents_and_raw_data_is_refused() -> None:
    request = infer_request()
    request.inputs[1].contents.int_contents.append(1)
    assert refusal(request) == (
        Code.INVALID_ARG,
        "contents field must not be specified when using raw_input_contents for 'INPUT1' for model 'simple'",
    )


def test_a_tensor_without_data_is_refused() -> None:
    request = infer_request()
    del request.raw_input_contents[1]
    assert refusal(request) == (
        Code.INVALID_ARG,
        "unable to find data for input tensor 'INPUT1' for model 'simple' in request.",
    )


def test_duplicates_come_before_missing_data() -> None:
    request = infer_request()
    del request.raw_input_contents[1]
    request.inputs[1].name = "INPUT0"
    assert refusal(request)[1] == "[request id: <id_unknown>] input 'INPUT0' already exists in request"


def test_shared_memory_that_nobody_registered_is_not_found() -> None:
    for tensors in ("inputs", "outputs"):
        request = infer_request()
        request.outputs.add(name="OUTPUT0")
        in_region(getattr(request, tensors)[0], "r0", 64)
        assert refusal(request) == (Code.NOT_FOUND, "Unable to find shared memory region: 'r0'")


def test_shared_memory_with_contents_is_refused() -> None:
    request = infer_request(raw=False)
    in_region(request.inputs[0], "r0", 64)
    assert refusal(request)[1] == (
        "unexpected 'content' provided when using shared memory for input tensor 'INPUT0' for model 'simple'"
    )


def test_raw_data_is_for_the_inputs_that_are_not_in_shared_memory(memory: SharedMemory) -> None:
    request = infer_request()
    del request.raw_input_contents[0]
    in_region(request.inputs[0], "r", 64, 32)
    request.outputs.add(name="OUTPUT0")
    in_region(request.outputs[0], "r", 96)
    decoded = decode(request, memory)
    assert isinstance(decoded.inputs[0].data, RegionPart)
    assert decoded.inputs[0].data.read() == bytes(range(32, 96))
    assert decoded.inputs[1].data == ONES.tobytes()
    (option,) = decoded.options
    assert (option.name, option.classes) == ("OUTPUT0", 0)
    assert option.region is not None
    assert len(option.region) == 96
    assert memory.status("r")[0].users == 2


def test_a_refused_request_gives_back_what_it_took(memory: SharedMemory) -> None:
    request = infer_request()
    in_region(request.inputs[0], "r", 64)
    in_region(request.inputs[1], "nowhere", 64)
    with pytest.raises(ServerError, match="Unable to find shared memory region: 'nowhere'"):
        decode(request, memory)
    assert memory.status("r")[0].users == 0


def test_strings_are_read_from_shared_memory_at_once(memory: SharedMemory) -> None:
    request = infer_request()
    request.inputs[0].datatype = "BYTES"
    in_region(request.inputs[0], "r", 8)
    assert decode(request, memory).inputs[0].data == bytes(range(8))


def test_classification_is_an_option_of_an_output() -> None:
    request = infer_request()
    request.outputs.add(name="OUTPUT1")
    request.outputs.add(name="OUTPUT0").parameters["classification"].int64_param = 3
    decoded = decode(request)
    assert decoded.outputs == ("OUTPUT1", "OUTPUT0")
    assert decoded.options == [OutputOption("OUTPUT0", 3)]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        (
            {"classification": parameter(string_param="1")},
            "invalid value type for 'classification' parameter, expected int64_param",
        ),
        (
            {"classification": parameter(int64_param=0)},
            "invalid value for 'classification' parameter, expected >= 0",
        ),
        (
            {
                "classification": parameter(int64_param=1),
                "shared_memory_region": parameter(string_param="r"),
                "shared_memory_byte_size": parameter(int64_param=1),
            },
            "output can't set both 'shared_memory_region' and 'classification'",
        ),
        (
            {"shared_memory_region": parameter(string_param="r")},
            "'shared_memory_byte_size' must be specified along with 'shared_memory_region' parameter "
            "for tensor 'OUTPUT0'",
        ),
        (
            {"shared_memory_offset": parameter(int64_param=1)},
            "'shared_memory_offset' can not be specified without 'shared_memory_region' parameter "
            "for tensor 'OUTPUT0'",
        ),
        (
            {"shared_memory_byte_size": parameter(int64_param=1)},
            "'shared_memory_byte_size' can not be specified without 'shared_memory_region' parameter "
            "for tensor 'OUTPUT0'",
        ),
        (
            {"shared_memory_region": parameter(int64_param=1)},
            "invalid value type for 'shared_memory_region' parameter for tensor 'OUTPUT0', "
            "expected string_param.",
        ),
    ],
)
def test_wrong_parameters_of_a_tensor_are_refused(parameters: Any, message: str) -> None:
    request = infer_request()
    request.outputs.add(name="OUTPUT0", parameters=parameters)
    assert refusal(request) == (Code.INVALID_ARG, message)


names = st.text(max_size=20)
tensors = st.builds(
    OutputTensor,
    names,
    st.sampled_from(["FP32", "BYTES", "INT64"]),
    st.lists(st.integers(0, 2**40), max_size=4).map(tuple),
)
responses = st.lists(st.tuples(tensors, st.binary(max_size=300)), max_size=4).flatmap(
    lambda outputs: st.builds(
        lambda name, version, request_id: InferResponse(
            ResponseLayout(name, version, tuple(tensor for tensor, _ in outputs)),
            request_id,
            [data for _, data in outputs],
        ),
        names,
        st.integers(1, 9).map(str),
        names,
    )
)


def as_message(response: InferResponse) -> Any:
    layout = response.layout
    message = service_pb2.ModelInferResponse(
        model_name=layout.model_name, model_version=layout.model_version, id=response.id
    )
    for tensor in layout.tensors:
        message.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    message.raw_output_contents.extend(response.data)
    return message


@given(responses)
def test_responses_are_what_protobuf_would_have_written(response: InferResponse) -> None:
    encoded = b"".join(codec.encode_response(response))
    assert service_pb2.ModelInferResponse.FromString(encoded) == as_message(response)


@given(responses)
def test_stream_responses_carry_the_same_and_are_final(response: InferResponse) -> None:
    message = as_message(response)
    message.parameters["triton_final_response"].bool_param = True
    streamed = service_pb2.ModelStreamInferResponse.FromString(codec.encode_stream_response(response))
    assert streamed == service_pb2.ModelStreamInferResponse(infer_response=message)


def test_stream_errors_name_their_request() -> None:
    request = codec.parse_request(infer_request(id="7", model_version="1").SerializeToString())
    wrong = codec.encode_stream_error(ServerError(Code.INVALID_ARG, "no"), request)
    assert service_pb2.ModelStreamInferResponse.FromString(wrong) == service_pb2.ModelStreamInferResponse(
        error_message="no", infer_response=service_pb2.ModelInferResponse(id="7")
    )
    failed = codec.encode_stream_error(ExecutionError(Code.UNAVAILABLE, "late"), request)
    message = service_pb2.ModelStreamInferResponse.FromString(failed)
    assert message.error_message == "late"
    assert message.infer_response == service_pb2.ModelInferResponse(
        id="7",
        model_name="simple",
        model_version="1",
        parameters={"triton_final_response": parameter(bool_param=True)},
    )


def test_a_response_beyond_grpcs_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    response = InferResponse(ResponseLayout("m", "1", ()), "", [b"x" * 100])
    size = sum(map(len, codec.encode_response(response)))
    monkeypatch.setattr(codec, "MAX_MESSAGE_BYTES", size - 1)
    with pytest.raises(
        ServerError, match=f"Response has byte size {size} which exceeds gRPC's byte size limit"
    ):
        codec.encode_response(response)


def test_a_large_requests_tensors_are_not_copied() -> None:
    request = infer_request(id="7")
    request.raw_input_contents[1] = bytes(100_000)
    data = request.SerializeToString()
    parsed = codec.parse_request(data)
    assert all(isinstance(raw, memoryview) and raw.obj is data for raw in parsed.raw)
    decoded = codec.decode_request(parsed, SharedMemory())
    assert [bytes(tensor.data) for tensor in decoded.inputs] == list(request.raw_input_contents)
    del request.raw_input_contents[:]
    request.id = ""
    assert parsed.message == request
    assert parsed.id == "7"


def test_requests_of_one_form_are_parsed_once() -> None:
    first, second = (codec.parse_request(infer_request(id=i).SerializeToString()) for i in "12")
    assert first.form is second.form
    assert (first.id, second.id) == ("1", "2")
    other = codec.parse_request(infer_request(id="1", model_version="3").SerializeToString())
    assert other.form is not first.form


def test_what_is_remembered_of_requests_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    forms: dict[bytes, codec.Form] = {}
    monkeypatch.setattr(codec, "_forms", forms)
    monkeypatch.setattr(codec, "_MOST_FORMS", 3)
    for version in range(10):
        codec.parse_request(infer_request(model_version=str(version)).SerializeToString())
        assert len(forms) <= 3
    forms.clear()
    codec.parse_request(infer_request(model_version="9" * 5000).SerializeToString())
    assert not forms
