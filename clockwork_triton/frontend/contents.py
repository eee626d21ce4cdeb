"""Typed tensor contents of the gRPC protocol, turned into the bytes they stand for."""

from __future__ import annotations

from array import array
from struct import pack
from typing import Any, NoReturn

from clockwork_triton.datatypes import WIRE_TO_NUMPY
from clockwork_triton.errors import Code, ServerError

# The field of InferTensorContents -> the datatype it stands for, and the array type that has its layout.
_PLAIN = {
    "int64_contents": ("INT64", "q"),
    "uint64_contents": ("UINT64", "Q"),
    "fp32_contents": ("FP32", "f"),
    "fp64_contents": ("FP64", "d"),
}
# These two hold narrower integers as well, whose low bits are taken: the mask, and the array type.
_NARROW = {
    "int_contents": ("INT32", {"INT8": (0xFF, "B"), "INT16": (0xFFFF, "H"), "INT32": (0xFFFFFFFF, "I")}),
    "uint_contents": ("UINT32", {"UINT8": (0xFF, "B"), "UINT16": (0xFFFF, "H"), "UINT32": (0xFFFFFFFF, "I")}),
}
_FIELDS = (
    "bool_contents",
    "int_contents",
    "int64_contents",
    "uint_contents",
    "uint64_contents",
    "fp32_contents",
    "fp64_contents",
    "bytes_contents",
)


def contents_bytes(contents: Any, name: str, datatype: str, model: str) -> bytes:
    """The tensor's raw bytes, b"" where `contents` (an InferTensorContents) is empty.

    ServerError INVALID_ARG where a field does not fit the datatype, or two are filled. FP16 and BF16 have no
    field: they only travel raw.
    """
    data = b""
    for field in _FIELDS:
        values = getattr(contents, field)
        if values:
            if data:
                _fail(name, model, ", binary data was already supplied.")
            data = _encode(field, values, name, datatype, model)
    return data


def _encode(field: str, values: Any, name: str, datatype: str, model: str) -> bytes:
    if field == "bool_contents":
        _expect("BOOL", name, datatype, model)
        return bytes(values)
    if field == "bytes_contents":
        _expect("BYTES", name, datatype, model)
        return b"".join(pack("<I", len(value)) + value for value in values)
    if field in _PLAIN:
        expected, code = _PLAIN[field]
        _expect(expected, name, datatype, model)
        return array(code, values).tobytes()
    expected, widths = _NARROW[field]
    if datatype not in widths:
        _expect(expected, name, datatype, model)
    mask, code = widths[datatype]
    return array(code, [value & mask for value in values]).tobytes()


def _expect(expected: str, name: str, datatype: str, model: str) -> None:
    if datatype != expected:
        known = datatype if datatype in WIRE_TO_NUMPY else "<invalid>"
        _fail(name, model, f" of type '{expected}', expected datatype '{known}'")


def _fail(name: str, model: str, what: str) -> NoReturn:
    raise ServerError(
        Code.INVALID_ARG,
        f"unexpected explicit tensor data for input tensor '{name}' for model '{model}'{what}",
    )
