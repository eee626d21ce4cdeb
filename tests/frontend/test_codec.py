from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend import codec
from clockwork_triton.frontend.request import InferResponse, InputTensor, OutputTensor, ResponseLayout
from tests.frontend.messages import COUNTED, ONES, infer_request, parameter


def refusal(request: Any) -> tuple[Code, str]:
    with pytest.raises(ServerError) as caught:
        codec.decode_request(codec.parse_request(request.SerializeToString()))
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("raw", [True, False])
def test_raw_and_typed_tensors_are_the_same(raw: bool) -> None:
    request = infer_request(raw, id="7", parameters={"timeout": parameter(int64_param=9)})
    request.outputs.add(name="OUTPUT1")
    decoded = codec.decode_request(codec.parse_request(request.SerializeToString()))
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
    assert refusal(request)[1] == "input 'INPUT0' already exists in request"


def test_shared_memory_that_nobody_registered_is_not_found() -> None:
    for tensors in ("inputs", "outputs"):
        request = infer_request()
        request.outputs.add(name="OUTPUT0")
        getattr(request, tensors)[0].parameters["shared_memory_region"].string_param = "r0"
        assert refusal(request) == (Code.NOT_FOUND, "Unable to find shared memory region: 'r0'")


def test_shared_memory_with_contents_is_refused() -> None:
    request = infer_request(raw=False)
    request.inputs[0].parameters["shared_memory_region"].string_param = "r0"
    assert refusal(request)[1] == (
        "unexpected 'content' provided when using shared memory for input tensor 'INPUT0' for model 'simple'"
    )


def test_classification_is_refused() -> None:
    request = infer_request()
    request.outputs.add(name="OUTPUT0").parameters["classification"].int64_param = 3
    assert refusal(request)[0] is Code.UNSUPPORTED


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
    encoded = codec.encode_response(response)
    assert service_pb2.ModelInferResponse.FromString(encoded) == as_message(response)


@given(responses)
def test_stream_responses_carry_the_same_and_are_final(response: InferResponse) -> None:
    message = as_message(response)
    message.parameters["triton_final_response"].bool_param = True
    streamed = service_pb2.ModelStreamInferResponse.FromString(codec.encode_stream_response(response))
    assert streamed == service_pb2.ModelStreamInferResponse(infer_response=message)


def test_stream_errors_name_their_request() -> None:
    message = service_pb2.ModelStreamInferResponse.FromString(codec.encode_stream_error("no", "7"))
    assert (message.error_message, message.infer_response.id) == ("no", "7")


def test_a_response_beyond_grpcs_limit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    response = InferResponse(ResponseLayout("m", "1", ()), "", [b"x" * 100])
    size = len(codec.encode_response(response))
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
    decoded = codec.decode_request(parsed)
    assert [bytes(tensor.data) for tensor in decoded.inputs] == list(request.raw_input_contents)
    del request.raw_input_contents[:]
    assert parsed.message == request
