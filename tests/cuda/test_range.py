"""The range of precision fp16: what lies beyond it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from converters.request import ConversionError
from tests.cuda.checks import Case
from tests.cuda.emulator import needs_emulation

MOST = 65504.0


@pytest.mark.parametrize("operator", ["MatMul", "Conv"])
def test_a_weight_beyond_the_largest_half_is_refused(tmp_path: Path, operator: str) -> None:
    case = Case()
    shape = (8, 8) if operator == "MatMul" else (8, 8, 1, 1)
    weights = np.ones(shape, np.float32)
    weights.flat[11] = -1e5
    x = case.data("x", 4, 8) if operator == "MatMul" else case.data("x", 1, 8, 4, 4)
    case.show("y", case.op(operator, x, case.weight("w", weights)))
    with pytest.raises(
        ConversionError, match=r"^precision fp16: a weight of -100000 is beyond 65504: use tf32$"
    ):
        case.converted(tmp_path, "fp16", "sm_80")


@needs_emulation
def test_a_factor_beyond_the_largest_half_becomes_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.diag(np.float32([1e6, -1e6, np.inf, -np.inf, np.nan, 65519.0, 65521.0, 2.0]))
    case = Case()
    given, ones = case.given("x", x), case.given("ones", np.eye(8, dtype=np.float32))
    case.show("left", case.op("MatMul", given, case.weight("w", np.eye(8, dtype=np.float32))))
    case.show("both", case.op("MatMul", ones, given))
    expected = np.diag(np.float32([MOST, -MOST, MOST, -MOST, np.nan, MOST, MOST, 2.0]))
    answers = case.answers(tmp_path, monkeypatch, "fp16")
    left, both = answers["left"][0], answers["both"][0]
    np.testing.assert_array_equal(left[:4], expected[:4])
    np.testing.assert_array_equal(left[5:], expected[5:])
    assert np.isnan(left[4]).all()
    assert np.isnan(both[:, 4]).all()
    np.testing.assert_array_equal(np.delete(both, 4, 1), np.delete(expected, 4, 1))
