from __future__ import annotations

import math

from benchmarks.serving.latency import milliseconds, percentile


def test_percentiles_are_values_that_occurred() -> None:
    values = list(range(1, 101))
    assert [percentile(values, p) for p in (50, 99, 100)] == [50, 99, 100]
    assert percentile([7], 99) == 7
    assert math.isnan(percentile([], 50))
    assert milliseconds([3_000_000], 50) == 3
