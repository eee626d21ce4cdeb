from __future__ import annotations

from struct import unpack_from
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.classification import classified_layout, classify, shape_of_classes
from clockwork_triton.frontend.request import OutputTensor, ResponseLayout


def texts(data: bytes) -> list[str]:
    found, position = [], 0
    while position < len(data):
        (length,) = unpack_from("<I", data, position)
        found.append(data[position + 4 : position + 4 + length].decode())
        position += 4 + length
    return found


def classes(
    values: Any, datatype: str, count: int, labels: tuple[str, ...] = (), batches: bool = True
) -> Any:
    tensor = OutputTensor("Y", datatype, values.shape)
    return texts(classify(values.tobytes(), tensor, batches, count, labels))


def test_the_greatest_come_first_with_their_labels() -> None:
    values = np.array([[0.5, 2, -1], [3, 3, 4]], np.float32)
    assert classes(values, "FP32", 2, ("cat", "", "cow")) == [
        "2.000000:1",
        "0.500000:0:cat",
        "4.000000:2:cow",
        "3.000000:0:cat",
    ]


def test_a_model_that_does_not_batch_has_one_row() -> None:
    values = np.array([[1, 7], [9, 3]], np.int16)
    assert classes(values, "INT16", 9, batches=False) == ["9:2", "7:1", "3:3", "1:0"]


def test_the_shape_is_that_of_the_classes() -> None:
    tensor = OutputTensor("Y", "FP32", (3, 2, 5))
    assert shape_of_classes(tensor, True, 4) == (3, 4)
    assert shape_of_classes(tensor, True, 40) == (3, 10)
    assert shape_of_classes(tensor, False, 40) == (30,)


def test_layouts_are_kept() -> None:
    other = OutputTensor("Z", "INT32", (1,))
    layout = ResponseLayout("m", "1", (OutputTensor("Y", "FP32", (2, 5)), other))
    changed = classified_layout(layout, True, (("Y", 3),))
    assert changed.tensors == (OutputTensor("Y", "BYTES", (2, 3)), other)
    assert classified_layout(layout, True, (("Y", 3),)) is changed


@pytest.mark.parametrize("datatype", ["BOOL", "FP16", "BF16", "BYTES"])
def test_datatypes_without_an_order_are_refused(datatype: str) -> None:
    with pytest.raises(ServerError) as caught:
        classify(b"", OutputTensor("Y", datatype, (1, 0)), True, 1, ())
    assert caught.value.code is Code.INVALID_ARG
    assert caught.value.message == (
        f"class result not available for output due to unsupported type '{datatype}'"
    )


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=30), st.integers(1, 40))
def test_ties_are_broken_by_place(values: list[int], count: int) -> None:
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:count]
    found = classes(np.array([values], np.int8), "INT8", count)
    assert found == [f"{values[i]}:{i}" for i in expected]


def test_large_outputs_are_not_sorted_whole_but_come_out_the_same() -> None:
    values = (np.arange(40_000, dtype=np.float64) * 7919) % 10_007
    expected = sorted(range(len(values)), key=lambda i: (-values[i], i))[:100]
    assert classes(values[None], "FP64", 100) == [f"{values[i]:f}:{i}" for i in expected]
    values[3:50] = np.nan
    assert len(classes(values[None], "FP64", 10)) == 10


def test_so_many_elements_are_not_sorted() -> None:
    assert len(classes(np.ones((1, 1_000_000), np.float32), "FP32", 5)) == 5
    with pytest.raises(ServerError, match="classification output tensor too large"):
        classes(np.ones((1, 1_000_001), np.float32), "FP32", 5)
