"""Summaries of durations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def percentile(values: Sequence[float], percent: float) -> float:
    """By the nearest-rank method, so always one of the values; NaN if there are none."""
    if not len(values):
        return float("nan")
    return float(np.percentile(np.asarray(values, dtype=float), percent, method="inverted_cdf"))


def milliseconds(values_ns: Sequence[int], percent: float) -> float:
    return percentile(values_ns, percent) / 1e6
