from __future__ import annotations

import pytest

from clockwork_triton.frontend.slo import deadline, overdue


@pytest.mark.parametrize(
    ("timeout_us", "transport_ns", "default_ns", "expected"),
    [
        (0, None, None, None),
        (5, None, None, 1_005_000),
        (0, 1_007_000, None, 1_007_000),
        (0, None, 9_000, 1_009_000),
        (5, 1_007_000, 9_000, 1_005_000),
        (8, 1_007_000, 9_000, 1_007_000),
        (8, 1_010_000, 7_500, 1_007_500),
        (-3, None, None, None),
        (-3, None, 9_000, 1_009_000),
        (0, 999_000, 9_000, 999_000),
        (2**63 - 1, None, None, None),
        (2**63 - 1, None, 9_000, 1_009_000),
    ],
)
def test_the_earliest_end_counts(
    timeout_us: int, transport_ns: int | None, default_ns: int | None, expected: int | None
) -> None:
    assert deadline(1_000_000, timeout_us, transport_ns, default_ns) == expected


def test_every_deadline_fits_in_64_bits() -> None:
    arrival = 2**61
    for timeout_us in (2**51, 2**52, 2**62):
        ends = deadline(arrival, timeout_us, None, None)
        assert ends is None or ends < 2**63


@pytest.mark.parametrize(
    ("waited_ms", "budget_ms", "expected"),
    [(0, 100, False), (25, 100, False), (26, 100, True), (100, 100, True), (4, 6, False), (6, 6, True)],
)
def test_a_quarter_of_a_budget_spent_at_the_door_is_too_much(
    waited_ms: int, budget_ms: int, expected: bool
) -> None:
    ms = 1_000_000
    assert overdue(7 * ms, (7 + budget_ms) * ms, (7 + waited_ms) * ms) is expected


def test_a_short_wait_is_not_held_against_a_short_budget() -> None:
    assert not overdue(0, 1_000_000, 900_000)
    assert overdue(0, 1_000_000, 1_000_000)
