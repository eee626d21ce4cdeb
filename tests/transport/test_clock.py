from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.transport.clock import ClockOffset, SlidingMinimum


@given(st.lists(st.integers(-50, 50), min_size=1), st.integers(1, 8))
def test_minimum_is_that_of_the_last_values(values: list[int], window: int) -> None:
    minimum = SlidingMinimum(window)
    assert minimum.value is None
    for count, value in enumerate(values, 1):
        minimum.add(value)
        assert minimum.value == min(values[max(0, count - window) : count])


def exchange(ahead_ns: int, there_ns: int, back_ns: int, jitter_ns: int, same: bool = False) -> ClockOffset:
    """What we know of a peer whose clock is ahead of ours after 200 messages each way."""
    ours, theirs = ClockOffset(same), ClockOffset()
    noise = random.Random(1)
    now_ns = 10**9
    for _ in range(200):
        arrives = now_ns + there_ns + noise.randrange(jitter_ns)
        theirs.observe(now_ns, arrives + ahead_ns, ours.min_delta_ns)
        now_ns = arrives + 1000
        arrives = now_ns + back_ns + noise.randrange(jitter_ns)
        ours.observe(now_ns + ahead_ns, arrives, theirs.min_delta_ns)
        now_ns = arrives + 1000
    return ours


@given(st.integers(-(10**12), 10**12))
def test_offset_is_found_on_a_way_that_is_as_long_there_as_back(ahead_ns: int) -> None:
    clock = exchange(ahead_ns, 30_000, 30_000, jitter_ns=20_000)
    assert abs(clock.offset_ns + ahead_ns) < 1_000
    assert clock.round_trip_ns is not None
    assert 60_000 <= clock.round_trip_ns < 62_000


def test_offset_is_wrong_by_half_the_difference_of_the_ways() -> None:
    assert abs(exchange(5_000_000, 10_000, 50_000, jitter_ns=1).offset_ns + 5_000_000 - 20_000) <= 1


def test_a_clock_that_drifts_is_followed_once_the_window_has_passed() -> None:
    clock = ClockOffset(window=4)
    for ahead_ns in [700] * 8 + [900] * 8:
        clock.observe(1_000 + ahead_ns, 1_100, 100 + ahead_ns)
    assert clock.offset_ns == -900


def test_nothing_is_assumed_before_both_sides_have_heard() -> None:
    clock = ClockOffset()
    assert (clock.offset_ns, clock.min_delta_ns, clock.round_trip_ns) == (0, 0, None)
    clock.observe(1_000, 5_000, 0)
    assert (clock.offset_ns, clock.min_delta_ns, clock.round_trip_ns) == (0, 4_000, None)


def test_processes_of_one_host_share_the_clock() -> None:
    clock = exchange(0, 10_000, 50_000, jitter_ns=1, same=True)
    assert clock.offset_ns == 0
    assert clock.round_trip_ns is None
