"""The classification extension: an output's greatest elements, as text, in place of the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from struct import pack
from typing import Any

import numpy as np

from clockwork_triton.datatypes import WIRE_TO_NUMPY
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.request import OutputTensor, ResponseLayout

_TYPES = {
    wire: np.dtype(WIRE_TO_NUMPY[wire])
    for wire in (
        *("UINT8", "UINT16", "UINT32", "UINT64", "INT8", "INT16", "INT32", "INT64"),
        *("FP32", "FP64"),
    )
}
_LARGE = 10_000
"""Elements from which on it pays to find the greatest before sorting."""
_MOST = 1_000_000
"""Elements that are looked at, as in Triton."""


def classify(data: bytes, tensor: OutputTensor, batches: bool, classes: int, labels: Sequence[str]) -> bytes:
    """A BYTES tensor of `value:index[:label]`, the greatest first, for each row of a tensor that batches.

    ServerError INVALID_ARG where the datatype has no order that Triton knows, or there are too many elements.
    """
    dtype = _TYPES.get(tensor.datatype)
    if dtype is None:
        raise ServerError(
            Code.INVALID_ARG,
            f"class result not available for output due to unsupported type '{tensor.datatype}'",
        )
    values = np.frombuffer(data, dtype)
    if len(values) > _MOST:
        raise ServerError(
            Code.INVALID_ARG,
            f"classification output tensor too large: {len(values)} elements, of which there may be {_MOST}",
        )
    rows = values.reshape(tensor.shape[0], -1) if batches else values.reshape(1, -1)
    texts = (text for row in rows for text in _row_texts(row, classes, labels))
    return b"".join(pack("<I", len(text)) + text for text in texts)


def shape_of_classes(tensor: OutputTensor, batches: bool, classes: int) -> tuple[int, ...]:
    """The shape of what `classify` makes of a tensor."""
    dims = tensor.shape[1:] if batches else tensor.shape
    count = min(classes, int(np.prod(dims, dtype=np.int64)))
    return (tensor.shape[0], count) if batches else (count,)


@lru_cache(maxsize=256)
def classified_layout(
    layout: ResponseLayout, batches: bool, classes: tuple[tuple[str, int], ...]
) -> ResponseLayout:
    """The layout with the outputs named in `classes` turned into that many classes each."""
    counts = dict(classes)
    return ResponseLayout(
        layout.model_name,
        layout.model_version,
        tuple(
            OutputTensor(tensor.name, "BYTES", shape_of_classes(tensor, batches, counts[tensor.name]))
            if tensor.name in counts
            else tensor
            for tensor in layout.tensors
        ),
    )


def _row_texts(row: Any, classes: int, labels: Sequence[str]) -> Iterator[bytes]:
    whole = row.dtype.kind != "f"
    for index in _greatest(row, min(classes, len(row))):
        text = f"{row[index]}:{index}" if whole else f"{row[index]:f}:{index}"
        label = labels[index] if index < len(labels) else ""
        yield (f"{text}:{label}" if label else text).encode()


def _greatest(row: Any, count: int) -> list[int]:
    """The places of the greatest elements, descending; of equal ones the first comes first."""
    places = None
    if len(row) > _LARGE and count * 8 < len(row):
        bound = np.partition(row, len(row) - count)[len(row) - count]
        candidates = np.flatnonzero(row >= bound)
        if len(candidates) >= count:  # fewer where the bound is not a number
            places, row = candidates, row[candidates]
    order = len(row) - 1 - np.argsort(row[::-1], kind="stable")[::-1][:count]
    chosen: list[int] = (order if places is None else places[order]).tolist()
    return chosen
