from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.controller.actions import Action, ActionKind
from clockwork_triton.worker.windows import ActionQueue, Order, Start, TooLate, WaitUntil


def order(action_id: int, earliest_ns: int, latest_ns: int) -> Order:
    return Order(Action(action_id, ActionKind.INFER, 0, 1, earliest_ns, latest_ns, 0), 0, 0)


def test_an_empty_queue_has_nothing_to_do() -> None:
    assert ActionQueue().next(0) is None


def test_a_window_includes_both_its_ends() -> None:
    for now_ns, expected in ((99, WaitUntil), (100, Start), (200, Start), (201, TooLate)):
        queue = ActionQueue()
        queue.push(order(1, 100, 200))
        assert isinstance(queue.next(now_ns), expected)
        assert len(queue) == (expected is WaitUntil)


def test_it_waits_for_the_beginning_of_the_first_window() -> None:
    queue = ActionQueue()
    queue.push(order(1, 300, 400))
    queue.push(order(2, 100, 400))
    assert queue.next(50) == WaitUntil(100)


def test_order_is_by_earliest_then_arrival() -> None:
    queue = ActionQueue()
    for action_id, earliest_ns in enumerate([5, 3, 5, 0, 3]):
        queue.push(order(action_id, earliest_ns, 1000))
    started = [queue.next(10) for _ in range(5)]
    assert [s.order.action.action_id for s in started if isinstance(s, Start)] == [3, 1, 4, 0, 2]


def test_a_window_that_ends_before_it_begins_is_refused_at_once() -> None:
    queue = ActionQueue()
    queue.push(order(1, 300, 200))
    assert queue.next(250) == TooLate(order(1, 300, 200))


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 60), st.integers(0, 30), st.integers(1, 40))))
def test_nothing_starts_outside_its_window_or_out_of_order(plans: list[tuple[int, int, int, int]]) -> None:
    """A device on a virtual clock; plans are (arrival, lead, width of the window, duration)."""
    arrivals = sorted(
        (
            (arrival, order(number, arrival + lead, arrival + lead + width), duration)
            for number, (arrival, lead, width, duration) in enumerate(plans)
        ),
        key=lambda plan: plan[0],
    )
    durations = {item.action.action_id: duration for _, item, duration in arrivals}
    queue = ActionQueue()
    now_ns = 0
    started: list[Order] = []
    refused: list[Order] = []
    while arrivals or len(queue):
        while arrivals and arrivals[0][0] <= now_ns:
            queue.push(arrivals.pop(0)[1])
        verdict = queue.next(now_ns)
        if isinstance(verdict, Start):
            action = verdict.order.action
            assert action.earliest_ns <= now_ns <= action.latest_ns
            waiting = [item for _, _, item in queue._heap]
            assert all(action.earliest_ns <= other.action.earliest_ns for other in waiting)
            started.append(verdict.order)
            now_ns += durations[action.action_id]
        elif isinstance(verdict, TooLate):
            assert now_ns > verdict.order.action.latest_ns
            refused.append(verdict.order)
        else:
            next_arrival = arrivals[0][0] if arrivals else 10**9
            now_ns = next_arrival if verdict is None else min(verdict.time_ns, next_arrival)
    assert len(started) + len(refused) == len(plans)
