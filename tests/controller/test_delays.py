from __future__ import annotations

from clockwork_triton.controller.delays import FORGET_NS, SPARED, WINDOW, Delays


def test_the_bound_holds_for_all_but_the_spared() -> None:
    delays = Delays()
    assert delays.bound_ns(0) == 0
    for delay in range(WINDOW):
        delays.add(delay, 0)
    assert delays.bound_ns(0) == WINDOW - 1 - SPARED


def test_few_delays_are_all_believed() -> None:
    delays = Delays()
    delays.add(7, 0)
    assert delays.bound_ns(0) == 7
    delays.add(9, 0)
    assert delays.bound_ns(0) == 7


def test_accidents_leave_the_window() -> None:
    delays = Delays()
    for delay in [500] * (SPARED + 1) + [10] * (WINDOW - SPARED - 1):
        delays.add(delay, 0)
    assert delays.bound_ns(0) == 500
    delays.add(10, 0)
    assert delays.bound_ns(0) == 10


def test_what_was_seen_long_ago_is_forgotten() -> None:
    delays = Delays()
    for _ in range(WINDOW):
        delays.add(500, 0)
    assert delays.bound_ns(FORGET_NS) == 500
    assert delays.bound_ns(FORGET_NS + 1) == 0
    delays.add(3, FORGET_NS + 1)
    assert delays.bound_ns(FORGET_NS + 1) == 3
