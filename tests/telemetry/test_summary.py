from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.telemetry.summary import WINDOW_NS, Summary


def test_nothing_measured_has_no_quantiles() -> None:
    assert Summary().quantiles(0, (0.5,)) == [None]


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=50))
def test_quantiles_are_values_that_were_measured(values: list[int]) -> None:
    summary = Summary()
    for value in values:
        summary.add(5, value)
    lowest, middle, highest = summary.quantiles(5, (0.0, 0.5, 1.0))
    assert lowest == min(values)
    assert highest == max(values)
    assert middle in values
    assert (summary.count, summary.total) == (len(values), sum(values))


def test_what_is_older_than_the_window_is_only_counted() -> None:
    summary = Summary()
    summary.add(0, 1000)
    summary.add(WINDOW_NS + 1, 3)
    assert summary.quantiles(WINDOW_NS + 1, (0.0, 1.0)) == [3, 3]
    assert summary.count == 2
