"""The tensor datatypes of the protocol and their numpy counterparts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class TensorSpec:
    """Name, numpy datatype and shape of a model's input or output.

    For a model that batches, `shape` leaves the batch dimension out.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]

    @cached_property
    def row_bytes(self) -> int:
        """Bytes of one row, or of the whole tensor where the model does not batch."""
        return math.prod(self.shape) * itemsize(self.dtype)


# Triton's wire name -> numpy name. BF16 and BYTES have no numpy type of their own.
WIRE_TO_NUMPY: Mapping[str, str] = {
    "BOOL": "bool",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "INT8": "int8",
    "INT16": "int16",
    "INT32": "int32",
    "INT64": "int64",
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
    "BF16": "bfloat16",
    "BYTES": "object",
}
NUMPY_TO_WIRE: Mapping[str, str] = {numpy: wire for wire, numpy in WIRE_TO_NUMPY.items()}


def numpy_dtype(name: str) -> np.dtype[np.generic]:
    """The type of that name, `bfloat16` included."""
    if name == "bfloat16":
        import ml_dtypes

        dtype: np.dtype[np.generic] = np.dtype(ml_dtypes.bfloat16)
        return dtype
    return np.dtype(name)


def itemsize(dtype: str) -> int:
    """Bytes an element takes; `dtype` is a numpy name or `bfloat16`. BYTES has no fixed size: ValueError."""
    if dtype == "object":
        raise ValueError("BYTES elements have no fixed size")
    return 2 if dtype == "bfloat16" else np.dtype(dtype).itemsize
