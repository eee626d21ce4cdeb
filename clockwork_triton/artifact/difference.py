"""How far apart what a model should give and what it gives are."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def difference(expected: npt.NDArray[Any], actual: npt.NDArray[Any]) -> float:
    """The largest absolute difference over the largest finite magnitude expected; infinite where one is
    finite and the other is not, or integers differ.

    Eight-bit integers may differ by one step: they are mostly quantized values, which round either way.
    """
    if expected.size == 0:
        return 0.0
    if expected.dtype.kind in "iub":
        slack = 1 if expected.dtype.itemsize == 1 and expected.dtype.kind != "b" else 0
        off = np.abs(expected.astype(np.int64) - actual.astype(np.int64)).max()
        return 0.0 if off <= slack else float("inf")
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
