from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tritonclient.grpc import service_pb2
from tritonclient.utils import serialize_byte_tensor

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.contents import contents_bytes


def contents(**fields: Any) -> Any:
    return service_pb2.InferTensorContents(**fields)


@pytest.mark.parametrize(
    ("datatype", "field", "values", "dtype"),
    [
        ("BOOL", "bool_contents", [True, False, True], bool),
        ("INT8", "int_contents", [-128, 0, 127], np.int8),
        ("INT16", "int_contents", [-32768, 1, 32767], np.int16),
        ("INT32", "int_contents", [-(2**31), 2, 2**31 - 1], np.int32),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1], np.int64),
        ("UINT8", "uint_contents", [0, 255], np.uint8),
        ("UINT16", "uint_contents", [0, 65535], np.uint16),
        ("UINT32", "uint_contents", [0, 2**32 - 1], np.uint32),
        ("UINT64", "uint64_contents", [0, 2**64 - 1], np.uint64),
        ("FP32", "fp32_contents", [0.5, -1e30, float("inf"), float("nan")], np.float32),
        ("FP64", "fp64_contents", [0.1, -1e300], np.float64),
    ],
)
def test_each_field_becomes_the_tensors_bytes(
    datatype: str, field: str, values: list[Any], dtype: type
) -> None:
    data = contents_bytes(contents(**{field: values}), "I", datatype, "m")
    assert data == np.array(values, dtype=dtype).tobytes()


def test_strings_are_preceded_by_their_lengths() -> None:
    values = [b"", b"abc", b"\xff" * 300]
    expected = serialize_byte_tensor(np.array(values, dtype=object)).item()
    assert contents_bytes(contents(bytes_contents=values), "I", "BYTES", "m") == expected


def test_low_bits_are_taken_of_values_too_wide() -> None:
    assert contents_bytes(contents(int_contents=[-129, 256]), "I", "INT8", "m") == b"\x7f\x00"
    assert contents_bytes(contents(uint_contents=[65536 + 5]), "I", "UINT16", "m") == b"\x05\x00"


def test_nothing_is_no_bytes() -> None:
    assert contents_bytes(contents(), "I", "FP32", "m") == b""


@pytest.mark.parametrize(
    ("fields", "datatype", "message"),
    [
        ({"fp32_contents": [1.0]}, "INT32", " of type 'FP32', expected datatype 'INT32'"),
        ({"int_contents": [1]}, "FP16", " of type 'INT32', expected datatype 'FP16'"),
        ({"uint_contents": [1]}, "INT8", " of type 'UINT32', expected datatype 'INT8'"),
        ({"bytes_contents": [b"a"]}, "BOOL", " of type 'BYTES', expected datatype 'BOOL'"),
        ({"bool_contents": [True]}, "ODD", " of type 'BOOL', expected datatype '<invalid>'"),
        ({"int_contents": [1], "fp32_contents": [1.0]}, "INT32", ", binary data was already supplied."),
    ],
)
def test_misfits_in_tritons_words(fields: dict[str, Any], datatype: str, message: str) -> None:
    with pytest.raises(ServerError) as caught:
        contents_bytes(contents(**fields), "I", datatype, "m")
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == (
        f"unexpected explicit tensor data for input tensor 'I' for model 'm'{message}"
    )
