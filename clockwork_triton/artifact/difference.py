"""How far apart what a model should give and what it gives are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def counts(dtype: str) -> bool:
    """Whether a type's values are right or wrong, rather than more or less far off."""
    return not dtype.startswith(("float", "bfloat"))


def error_of(expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> float:
    """The difference of floats; of integers and booleans the share that is wrong."""
    if not counts(str(expected.dtype)):
        return difference(expected, actual)
    if expected.size == 0:
        return 0.0
    slack = 1 if expected.dtype.itemsize == 1 and expected.dtype.kind != "b" else 0
    off = np.abs(expected.astype(np.int64) - actual.astype(np.int64))
    return float(np.mean(off > slack))


def told(error: float, dtype: str) -> str:
    """An error in words."""
    return (
        f"is wrong in {error:.1e} of its elements"
        if counts(dtype)
        else f"differs by {error:.1e} of its scale"
    )


def difference(expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> float:
    """The largest absolute difference over the largest finite magnitude expected; infinite where one is
    finite and the other is not, or integers differ.

    Eight-bit integers may differ by one step: they are mostly quantized values, which round either way.
    """
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind in "iub":
        return float("inf") if error_of(expected, actual) else 0.0
    want, have = expected.astype(np.float64), actual.astype(np.float64)
    finite = np.isfinite(want)
    if (
        not np.array_equal(want[~finite], have[~finite], equal_nan=True)
        or not np.isfinite(have[finite]).all()
    ):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = float(np.abs(want[finite]).max()) or 1.0
    return float(np.abs(want[finite] - have[finite]).max()) / scale
