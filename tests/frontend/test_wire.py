from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2

from clockwork_triton.frontend.wire import Split, header, split, varint
from tests.frontend.messages import infer_request

ID, RAW = 3, 7


def take_apart(message: Any) -> tuple[bytes, str, list[bytes]]:
    raw, name = list(message.raw_input_contents), message.id
    del message.raw_input_contents[:]
    message.id = ""
    return message.SerializeToString(), name, raw


def put_together(parts: Split) -> tuple[bytes, str, list[bytes]]:
    rest = service_pb2.ModelInferRequest.FromString(parts.rest).SerializeToString()
    return rest, (parts.one or b"").decode(), [bytes(value) for value in parts.many]


@pytest.mark.parametrize(
    ("value", "encoded"), [(0, "00"), (127, "7f"), (128, "8001"), (300, "ac02"), (2**32, "8080808010")]
)
def test_varints(value: int, encoded: str) -> None:
    assert varint(value).hex() == encoded


@given(st.integers(1, 2**29 - 1), st.integers(0, 2**31))
def test_a_header_is_read_as_its_field_and_size(field: int, size: int) -> None:
    assert header(field, size) == varint(field << 3 | 2) + varint(size)


@given(st.lists(st.binary(max_size=200), max_size=5), st.binary(max_size=300), st.text(max_size=200))
def test_two_fields_are_taken_out_and_the_rest_kept(raw: list[bytes], junk: bytes, name: str) -> None:
    message = infer_request(id=name)
    message.raw_input_contents.extend(raw)
    # An unknown field in front, and fields out of order, are nothing special.
    data = header(12, len(junk)) + junk + message.SerializeToString() + b"\x12\x011"
    parts = split(data, ID, RAW)
    assert parts is not None
    assert [bytes(value) for value in parts.many] == list(message.raw_input_contents)
    assert (parts.one or b"").decode() == name
    expected = take_apart(service_pb2.ModelInferRequest.FromString(data))
    assert service_pb2.ModelInferRequest.FromString(parts.rest).SerializeToString() == expected[0]


@given(st.data())
def test_damaged_messages_mean_what_protobuf_says(data: st.DataObject) -> None:
    message = bytearray(infer_request(id="7").SerializeToString())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(message) - 1))
        message[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    parts = split(bytes(message), ID, RAW)
    if parts is None:
        return
    try:
        expected = take_apart(service_pb2.ModelInferRequest.FromString(bytes(message)))
    except DecodeError:
        with pytest.raises((DecodeError, UnicodeDecodeError)):
            put_together(parts)
        return
    assert put_together(parts) == expected


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x80" * 20,
        b"\x0b\x0c",
        b"\x0d\x00",
        b"\x0a\x00" * 300,
        b"\x1a\x01x\x1a\x01y",
        b"\x9a\x06\x00",
    ],
    ids=["cut off", "too short", "endless varint", "group", "fixed", "many fields", "twice", "long tag"],
)
def test_what_is_left_to_protobuf(data: bytes) -> None:
    assert split(data, ID, RAW) is None
