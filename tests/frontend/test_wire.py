from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from clockwork_triton.frontend.wire import header, take_out, varint
from tests.frontend.messages import infer_request

RAW = 7


def split(message: Any) -> tuple[bytes, list[bytes]]:
    raw = list(message.raw_input_contents)
    del message.raw_input_contents[:]
    return message.SerializeToString(), raw


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010")]
)
def test_varints(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded


@given(st.integers(1, 2**29 - 1), st.integers(0, 2**31))
def test_a_header_is_read_as_its_field_and_size(field: int, size: int) -> None:
    assert header(field, size) == varint(field << 3 | 2) + varint(size)


@given(st.lists(st.binary(max_size=200), max_size=5), st.binary(max_size=300))
def test_a_field_is_taken_out_and_the_rest_kept(raw: list[bytes], junk: bytes) -> None:
    message = infer_request(id="x" * 200)
    message.raw_input_contents.extend(raw)
    # An unknown field in front, and fields out of order, are nothing special.
    data = header(99, len(junk)) + junk + message.SerializeToString() + b"\x1a\x01y"
    parts = take_out(data, RAW)
    assert parts is not None
    rest, values = parts
    assert [bytes(value) for value in values] == list(message.raw_input_contents)
    expected = service_pb2.ModelInferRequest.FromString(data)
    del expected.raw_input_contents[:]
    assert service_pb2.ModelInferRequest.FromString(rest) == expected


@given(st.data())
def test_damaged_messages_mean_what_protobuf_says(data: st.DataObject) -> None:
    message = bytearray(infer_request(id="7").SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    parts = take_out(bytes(message), RAW)
    if parts is None:
        return
    try:
        expected = split(service_pb2.ModelInferRequest.FromString(bytes(message)))
    except DecodeError:
        with pytest.raises(DecodeError):
            service_pb2.ModelInferRequest.FromString(parts[0])
        return
    found = service_pb2.ModelInferRequest.FromString(parts[0])
    assert (found.SerializeToString(), [bytes(value) for value in parts[1]]) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x80" * 20,
        b"\x0b\x0c",
        b"\x0d\x00",
        b"\x0a\x00" * 300,
    ],
    ids=["cut off", "too short", "endless varint", "group", "short fixed", "many fields"],
)
def test_what_is_left_to_protobuf(data: bytes) -> None:
    assert take_out(data, RAW) is None
