from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.datatypes import TensorSpec, numpy_dtype

DTYPES = ("float32", "int64", "bool", "bfloat16", "float16", "uint8")
ROW = (2, 3)


def manifest(*, batches: bool) -> Manifest:
    """As far as an expectation looks at one."""
    tensors = tuple(TensorSpec(name, name, ROW) for name in DTYPES)
    largest = 4 if batches else 0
    variants = dict.fromkeys((2, 4) if batches else (1,))
    return Manifest("m", "t", largest, tensors, tensors, 1, (), variants, {})  # type: ignore[arg-type]


def arrays(seed: int, *, batches: bool) -> tuple[np.ndarray, ...]:
    random = np.random.default_rng(seed)
    shape = (2, *ROW) if batches else ROW
    return tuple(random.integers(0, 2, shape).astype(numpy_dtype(name)) for name in DTYPES)


@pytest.mark.parametrize("batches", [False, True])
def test_what_was_written_is_read(tmp_path: Path, batches: bool) -> None:
    allowed = tuple(number / 8 for number in range(len(DTYPES)))
    written = Expectation(arrays(0, batches=batches), arrays(1, batches=batches), allowed, "onnxruntime")
    written.write(tmp_path)
    read = Expectation.read(tmp_path, manifest(batches=batches))
    assert read is not None
    assert (read.tolerances, read.reference) == (allowed, "onnxruntime")
    for had, has in zip(written.inputs + written.outputs, read.inputs + read.outputs, strict=True):
        assert has.dtype == had.dtype
        np.testing.assert_array_equal(has, had)


def test_an_artifact_that_was_checked_has_none(tmp_path: Path) -> None:
    assert Expectation.read(tmp_path, manifest(batches=True)) is None


def test_more_rows_are_made_of_those_there_are_and_none_is_like_another() -> None:
    floats = np.arange(1, 13, dtype=np.float32).reshape(2, 2, 3)
    indices = np.arange(12, dtype=np.int32).reshape(2, 6)
    short = floats.astype(ml_dtypes.bfloat16)
    rows = Expectation((floats, indices, short), (), (), "r").rows(7)
    for made, given in zip(rows, (floats, indices, short), strict=True):
        assert made.dtype == given.dtype
        assert made.shape == (7, *given.shape[1:])
        np.testing.assert_array_equal(made[:2], given)
        assert len({row.tobytes() for row in made}) == 7
        np.testing.assert_array_equal(np.sort(np.abs(made[5]).ravel()), np.sort(given[1].ravel()))
    assert set(rows[1].ravel()) <= set(range(12)), "indices stay within what the model may be given"


def test_the_worst_output_is_the_one_furthest_off_for_what_it_may_be() -> None:
    wanted = [np.float32([1, 2]), np.int64([1, 2, 3, 4]), np.float32([8])]
    found = [np.float32([1, 2.1]), np.int64([1, 2, 3, 0]), np.float32([8])]
    for allowed, error, worst in (
        ((0.1, 0.1, 0.0), 0.25, 1),
        ((0.01, 0.5, 0.0), 0.05, 0),
        ((0.1, 0.0, 0.0), 0.25, 1),
    ):
        assert Expectation((), (), allowed, "r").worst(wanted, found) == (pytest.approx(error), worst)
    assert Expectation((), (), (0.1, 0.1, 0.0), "r").worst(wanted, wanted)[0] == 0
