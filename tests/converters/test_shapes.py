from __future__ import annotations

from pathlib import Path

import pytest
from onnx import helper

from converters.request import ConversionError, ConversionRequest
from converters.shapes import input_shapes
from tests.converters.models import FLOAT, Dims


def shapes(dims: Dims, max_batch_size: int = 4, **given: tuple[int, ...]) -> tuple[int, ...]:
    graph = helper.make_graph([], "g", [helper.make_tensor_value_info("x", FLOAT, dims)], [])
    request = ConversionRequest(Path("m.onnx"), "m", max_batch_size, (1, 2, 4), given)
    return input_shapes(graph, request, 2)["x"]


def test_the_batch_dimension_is_the_variants() -> None:
    assert shapes(["N", 3, 4]) == (2, 3, 4)
    assert shapes([1, 3, 4]) == (2, 3, 4)


def test_shapes_are_literal_without_batching() -> None:
    assert shapes([5, 3], max_batch_size=0) == (5, 3)


def test_the_configuration_fixes_what_the_file_leaves_open() -> None:
    assert shapes(["N", "h", "w"], x=(3, 4)) == (2, 3, 4)
    assert shapes(["N", 3, "w"], x=(-1, 4)) == (2, 3, 4)
    assert shapes(None, x=(3,)) == (2, 3)
    assert shapes(["N", 0], x=(3,)) == (2, 3)


@pytest.mark.parametrize(
    ("dims", "given", "message"),
    [
        (["N", "h"], {}, r"dimension 1 \('h'\) of input 'x' is not fixed: give the whole shape in `dims`"),
        (["N", None], {"x": (-1,)}, "dimension 1 of input 'x' is not fixed"),
        (None, {}, "input 'x' has no shape in the file: give the whole shape in `dims`"),
        (["N", 3], {"x": (4,)}, r"input 'x' has shape \[3\] in the file, but \[4\] is configured"),
        (["N", 3, "w"], {"x": (3,)}, r"input 'x' has shape \[3, w\] in the file, but \[3\] is configured"),
        (["N", 3], {"y": (3,)}, r"the model has no input 'y' \(it has: x\)"),
        (["N", 0], {"x": (0,)}, "dimension 1 of input 'x' is 0"),
        ([], {}, "input 'x' is a scalar, which cannot batch"),
    ],
)
def test_refusals_name_the_input_and_the_remedy(
    dims: Dims, given: dict[str, tuple[int, ...]], message: str
) -> None:
    with pytest.raises(ConversionError, match=message):
        shapes(dims, **given)
