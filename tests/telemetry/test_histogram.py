from __future__ import annotations

import pytest

from clockwork_triton.telemetry.histogram import LATENCY_BOUNDS_NS, Histogram


def test_values_are_counted_by_the_bound_they_do_not_exceed() -> None:
    histogram = Histogram((10, 20))
    for value in (0, 10, 11, 20, 21, 1000):
        histogram.add(value)
    assert histogram.counts == [2, 2, 2]
    assert (histogram.count, histogram.total) == (6, 1062)


def test_bounds_must_ascend() -> None:
    with pytest.raises(AssertionError):
        Histogram((2, 1))


def test_latencies_are_told_apart_from_a_tenth_of_a_millisecond_to_half_a_minute() -> None:
    assert LATENCY_BOUNDS_NS[0] == 100_000
    assert LATENCY_BOUNDS_NS[-1] == 30 * 10**9
