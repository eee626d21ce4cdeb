from __future__ import annotations

import json
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from clockwork_triton.datatypes import WIRE_TO_NUMPY
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http.json_tensors import elements, json_data, tensor_bytes

NUMBERS = [wire for wire in WIRE_TO_NUMPY if wire not in ("BYTES", "BF16", "FP16")]


def refusal(datatype: str, shape: tuple[int, ...], data: Any) -> tuple[Code, str]:
    with pytest.raises(ServerError) as caught:
        tensor_bytes("X", datatype, shape, data)
    return caught.value.code, caught.value.message


@pytest.mark.parametrize("datatype", NUMBERS)
@given(data=st.data())
def test_numbers_survive_the_round_trip(datatype: str, data: st.DataObject) -> None:
    array = data.draw(npst.arrays(WIRE_TO_NUMPY[datatype], npst.array_shapes(max_dims=3)))
    written = orjson.dumps(json_data(datatype, array.tobytes()), option=orjson.OPT_SERIALIZE_NUMPY)
    flat = json.loads(written)
    nested = np.array(flat, dtype=object).reshape(array.shape).tolist()
    for form in (flat, nested):
        read = np.frombuffer(tensor_bytes("X", datatype, array.shape, form), WIRE_TO_NUMPY[datatype])
        np.testing.assert_array_equal(read, array.ravel())


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=5))
def test_strings_survive_the_round_trip(texts: list[str]) -> None:
    encoded = tensor_bytes("X", "BYTES", (len(texts),), texts)
    assert json_data("BYTES", encoded) == texts
    assert [element.decode() for element in elements(encoded)] == texts


def test_32_bit_numbers_are_written_as_triton_does() -> None:
    data = np.array([0.1, 2, 1e10], np.float32).tobytes()
    written = orjson.dumps(json_data("FP32", data), option=orjson.OPT_SERIALIZE_NUMPY)
    assert written == b"[0.10000000149011612,2.0,10000000000.0]"


def test_numbers_that_are_none_are_written_all_the_same() -> None:
    data = np.array([np.nan, np.inf, -np.inf, 1.5], np.float32).tobytes()
    assert orjson.dumps(json_data("FP32", data)) == b"[NaN,Infinity,-Infinity,1.5]"


def test_integers_wrap_and_floats_overflow_as_in_c() -> None:
    assert tensor_bytes("X", "INT8", (3,), [300, -1, 127]) == bytes((44, 255, 127))
    assert tensor_bytes("X", "UINT8", (1,), [256]) == b"\x00"
    assert np.isinf(np.frombuffer(tensor_bytes("X", "FP32", (1,), [1e39]), np.float32)).all()


def test_rows_of_any_length_are_taken_one_after_the_other() -> None:
    assert tensor_bytes("X", "INT8", (4,), [[1], [2, [3, [4]]]]) == bytes((1, 2, 3, 4))
    assert tensor_bytes("X", "BYTES", (2,), [["a"], [["b"]]]) == b"\x01\0\0\0a\x01\0\0\0b"


def test_an_empty_tensor_has_no_bytes() -> None:
    assert tensor_bytes("X", "INT32", (0, 4), []) == b""
    assert tensor_bytes("X", "BYTES", (0,), []) == b""


NON = "Unable to parse 'data': attempt to access JSON non-{0} as {0}"


@pytest.mark.parametrize(
    ("datatype", "data", "message"),
    [
        ("INT32", "text", NON.format("array")),
        ("INT32", None, NON.format("array")),
        ("INT32", ["1"], NON.format("signed-integer")),
        ("INT32", [1.0], NON.format("signed-integer")),
        ("INT32", [True], NON.format("signed-integer")),
        ("INT32", [None], NON.format("signed-integer")),
        ("INT64", [2**63], NON.format("signed-integer")),
        ("INT64", [2**63, -1], NON.format("signed-integer")),
        ("INT64", [2**70], NON.format("signed-integer")),
        ("UINT8", [-1], NON.format("unsigned-integer")),
        ("UINT64", [{}], NON.format("unsigned-integer")),
        ("BOOL", [1], NON.format("boolean")),
        ("BOOL", [True, 1], NON.format("boolean")),
        ("FP32", ["1"], "Unable to parse 'data': attempt to access JSON non-number as double"),
        ("FP64", [[1.0], "x"], "Unable to parse 'data': attempt to access JSON non-number as double"),
        ("BYTES", [1], "Unable to parse JSON bytes array: attempt to access JSON non-string as string"),
        ("INT32", [1, 2], "Unable to parse 'data': Shape does not match true shape of 'data' field"),
        ("INT32", [], "Unable to parse 'data': Shape does not match true shape of 'data' field"),
    ],
)
def test_what_is_no_such_tensor_is_an_internal_error_as_in_triton(
    datatype: str, data: Any, message: str
) -> None:
    assert refusal(datatype, (1,), data) == (Code.INTERNAL, message)


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_precision_travels_in_bytes_only(datatype: str) -> None:
    assert refusal(datatype, (1,), [1.0]) == (
        Code.INVALID_ARG,
        f"receiving {datatype} data via JSON is not supported. Please use the binary data format for input X",
    )
    with pytest.raises(ServerError) as caught:
        json_data(datatype, b"\0\0")
    assert caught.value.message == (
        f"sending {datatype} data via JSON is not supported. Please use the binary data format for output"
    )


def test_what_is_no_text_travels_in_bytes_only() -> None:
    with pytest.raises(ServerError, match="not UTF-8") as caught:
        json_data("BYTES", b"\1\0\0\0\xff")
    assert caught.value.code is Code.INVALID_ARG


def test_an_unknown_datatype_is_refused() -> None:
    assert refusal("WHAT", (1,), [1]) == (Code.INVALID_ARG, "invalid datatype for input X")


def nested(data: Any, depth: int) -> Any:
    return data if depth == 0 else [nested(data, depth - 1)]


@pytest.mark.parametrize(("datatype", "element"), [("BYTES", "hello"), ("INT64", 123)])
def test_nesting_has_an_end(datatype: str, element: Any) -> None:
    flat = tensor_bytes("X", datatype, (1,), [element])
    assert tensor_bytes("X", datatype, (1,), nested(element, 100)) == flat
    assert refusal(datatype, (1,), nested(element, 101)) == (
        Code.INVALID_ARG,
        "Unable to parse 'data': JSON nesting depth exceeds maximum allowed limit (100)",
    )


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        (
            (2**4, 2**60 + 2),
            "shape for input 'X' causes total element count to exceed maximum size of 9223372036854775807",
        ),
        ((2**2, 2**60 + 2), "byte size overflow for input 'X'"),
    ],
)
def test_sizes_that_no_number_holds(shape: tuple[int, ...], message: str) -> None:
    assert refusal("FP32", shape, [1.0]) == (Code.INVALID_ARG, message)


def test_deep_nesting_costs_no_stack() -> None:
    data: list[Any] = [1]
    for _ in range(5_000):
        data = [data, 2]
    assert refusal("INT8", (1,), data)[0] is Code.INVALID_ARG
