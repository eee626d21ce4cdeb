"""Tensors as JSON arrays, to and from the bytes they stand for.

Elements become one numpy array at a time, never one Python call each: a tensor of a million elements is read
and written in tens of milliseconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from math import prod
from struct import pack
from typing import Any, NoReturn

import numpy as np
import orjson

from clockwork_triton.datatypes import WIRE_TO_NUMPY, itemsize
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.http.json_values import as_array, fail
from clockwork_triton.inference import Buffer

_UNABLE = "Unable to parse 'data'"
_MISMATCH = "Shape does not match true shape of 'data' field"
_ONLY_BINARY = ("FP16", "BF16")
_DEEPEST = 100
"""Arrays within arrays, as in Triton."""
_MOST = (1 << 63) - 1
"""Elements of a tensor, and bytes."""


def tensor_bytes(name: str, datatype: str, shape: Sequence[int], data: Any) -> bytes:
    """The raw bytes of an input's `data`, nested or flat. ServerError in Triton's words."""
    array = as_array(data, _UNABLE)
    if prod(shape) > _MOST:
        _refuse(f"shape for input '{name}' causes total element count to exceed maximum size of {_MOST}")
    if datatype == "BYTES":
        return b"".join(_string_bytes(array))
    if datatype in _ONLY_BINARY:
        _refuse(
            f"receiving {datatype} data via JSON is not supported. Please use the binary data format for "
            f"input {name}"
        )
    if datatype not in WIRE_TO_NUMPY:
        _refuse(f"invalid datatype for input {name}")
    if prod(shape) * itemsize(WIRE_TO_NUMPY[datatype]) > _MOST:
        _refuse(f"byte size overflow for input '{name}'")
    values = _flat(array)
    if datatype == "UINT64" and values.dtype.kind == "f":
        values = _large_integers(array, values)
    converted = _converted(values, np.dtype(WIRE_TO_NUMPY[datatype]))
    if len(converted) != prod(shape):
        fail(_MISMATCH, _UNABLE)
    content: bytes = converted.tobytes()
    return content


def json_data(datatype: str, data: Buffer) -> Any:
    """An output's elements as orjson writes arrays. ServerError for what JSON cannot hold."""
    if datatype == "BYTES":
        try:
            return [element.decode() for element in elements(data)]
        except UnicodeDecodeError:
            _refuse(
                "sending BYTES data that is not UTF-8 via JSON is not supported. Please use the binary data "
                "format for output"
            )
    if datatype in _ONLY_BINARY:
        _refuse(
            f"sending {datatype} data via JSON is not supported. Please use the binary data format for output"
        )
    values = np.frombuffer(data, WIRE_TO_NUMPY[datatype])
    if values.dtype.kind != "f":
        return values
    # Triton prints 32-bit numbers with the digits of 64-bit ones.
    values = values.astype(np.float64)
    if np.isfinite(values).all():
        return values
    return orjson.Fragment(json.dumps(values.tolist(), separators=(",", ":")))


def elements(data: Buffer) -> Iterator[bytes]:
    """The elements of a BYTES tensor that is in order."""
    view = memoryview(data)
    position = 0
    while position < len(view):
        length = int.from_bytes(view[position : position + 4], "little")
        yield bytes(view[position + 4 : position + 4 + length])
        position += 4 + length


def _string_bytes(array: list[Any]) -> Iterator[bytes]:
    for element in _leaves(array):
        if not isinstance(element, str):
            fail("attempt to access JSON non-string as string", "Unable to parse JSON bytes array")
        encoded = element.encode(errors="surrogatepass")
        yield pack("<I", len(encoded)) + encoded


def _flat(array: list[Any]) -> Any:
    try:
        return np.array(array).ravel()
    except ValueError:  # rows of different lengths, which Triton takes one after the other
        return np.array(list(_leaves(array)))


def _large_integers(array: list[Any], values: Any) -> Any:
    """numpy makes floats of integers some of which need 64 bits without a sign, and some of which do not."""
    leaves = list(_leaves(array))
    if not all(type(leaf) is int and 0 <= leaf < 1 << 64 for leaf in leaves):
        return values
    return np.array(leaves, np.uint64)


def _converted(values: Any, dtype: Any) -> Any:
    kind = dtype.kind
    if len(values) == 0:
        return values.astype(dtype)
    if kind == "b":
        if values.dtype.kind != "b":
            fail("attempt to access JSON non-boolean as boolean", _UNABLE)
        return values
    if kind == "f":
        if values.dtype.kind not in "iuf":
            fail("attempt to access JSON non-number as double", _UNABLE)
        with np.errstate(over="ignore"):
            return values.astype(dtype)
    word = "unsigned-integer" if kind == "u" else "signed-integer"
    # uint64 only comes where some value needs it.
    fits = values.dtype.kind in "iu" if kind == "u" else values.dtype.kind == "i"
    if not fits or (kind == "u" and values.min() < 0):
        fail(f"attempt to access JSON non-{word} as {word}", _UNABLE)
    return values.astype(dtype)


def _leaves(array: list[Any]) -> Iterator[Any]:
    """Depth first, without recursion: nesting is the client's choice."""
    stack = [iter(array)]
    while stack:
        for element in stack[-1]:
            if isinstance(element, list):
                if len(stack) == _DEEPEST:
                    _refuse(f"{_UNABLE}: JSON nesting depth exceeds maximum allowed limit ({_DEEPEST})")
                stack.append(iter(element))
                break
            yield element
        else:
            stack.pop()


def _refuse(message: str) -> NoReturn:
    raise ServerError(Code.INVALID_ARG, message)
