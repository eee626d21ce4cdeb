"""The thread itself. Windows are open or long past, so nothing here waits for a clock."""

from __future__ import annotations

import queue
import threading

from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.worker.executor import Executor
from clockwork_triton.worker.performer import TOO_LATE, Outcome
from clockwork_triton.worker.windows import Order

OPEN_NS = 10**18
TIMEOUT_S = 30.0


def order(action_id: int, earliest_ns: int = 0, latest_ns: int = OPEN_NS) -> Order:
    return Order(Action(action_id, ActionKind.INFER, 0, 1, earliest_ns, latest_ns, 0), 0, 0)


class Bench:
    """An executor whose device echoes the id, and the reports it made."""

    def __init__(self) -> None:
        self.reports: queue.Queue[tuple[int, Outcome]] = queue.Queue()
        self.gate = threading.Event()
        self.gate.set()
        self.performing = threading.Event()
        self.executor = Executor("test", self._perform, self._report)

    def _perform(self, item: Order) -> Outcome:
        self.performing.set()
        assert self.gate.wait(TIMEOUT_S)
        return Outcome(Status.OK, str(item.action.action_id))

    def _report(self, item: Order, outcome: Outcome) -> None:
        self.reports.put((item.action.action_id, outcome))

    def ids(self, count: int) -> list[int]:
        return [self.reports.get(timeout=TIMEOUT_S)[0] for _ in range(count)]


def test_what_waits_is_performed_in_order() -> None:
    bench = Bench()
    for action_id, earliest_ns in ((1, 30), (2, 10), (3, 20), (4, 10)):
        bench.executor.submit(order(action_id, earliest_ns))
    bench.executor.start()
    assert bench.ids(4) == [2, 4, 3, 1]
    bench.executor.stop(TIMEOUT_S)


def test_a_window_that_has_passed_is_refused_without_touching_the_device() -> None:
    bench = Bench()
    bench.executor.submit(order(1, 0, 5))
    bench.executor.start()
    assert bench.reports.get(timeout=TIMEOUT_S) == (1, TOO_LATE)
    assert not bench.performing.is_set()
    bench.executor.stop(TIMEOUT_S)


def test_an_order_that_may_start_now_overtakes_one_that_must_wait() -> None:
    bench = Bench()
    bench.executor.start()
    bench.executor.submit(order(1, OPEN_NS - 1))
    bench.executor.submit(order(2))
    assert bench.ids(1) == [2]
    assert bench.reports.empty()
    bench.executor.stop(TIMEOUT_S)


def test_it_is_quiet_when_nothing_waits() -> None:
    bench = Bench()
    bench.gate.clear()
    bench.executor.start()
    assert bench.executor.wait_quiet(TIMEOUT_S)
    bench.executor.submit(order(1))
    assert not bench.executor.wait_quiet(0)
    bench.gate.set()
    assert bench.ids(1) == [1]
    assert bench.executor.wait_quiet(TIMEOUT_S)
    bench.executor.stop(TIMEOUT_S)


def test_stopping_ends_after_the_order_that_runs() -> None:
    bench = Bench()
    bench.gate.clear()
    bench.executor.submit(order(1))
    bench.executor.submit(order(2))
    bench.executor.start()
    assert bench.performing.wait(TIMEOUT_S)
    bench.executor.stop(0)
    bench.gate.set()
    bench.executor.stop(TIMEOUT_S)
    assert bench.ids(1) == [1]
    assert bench.reports.empty()


def test_it_ends_when_nobody_is_there_to_be_told() -> None:
    def report(item: Order, outcome: Outcome) -> None:
        raise BrokenPipeError

    executor = Executor("test", lambda item: Outcome(Status.OK), report)
    executor.submit(order(1))
    executor.start()
    executor._thread.join(TIMEOUT_S)
    assert not executor._thread.is_alive()


class Script:
    """Brings orders in portions, and notes how long it was to wait for each."""

    def __init__(self, bench: Bench, *portions: tuple[Order, ...]) -> None:
        self._bench = bench
        self._portions = list(portions)
        self.timeouts: list[float | None] = []

    def listen(self, timeout_s: float | None) -> bool:
        self.timeouts.append(timeout_s)
        if not self._portions:
            return False
        for item in self._portions.pop(0):
            self._bench.executor.add(item)
        return True


def test_on_a_borrowed_thread_it_listens_between_orders() -> None:
    bench = Bench()
    script = Script(bench, (order(1, 20), order(2, 30)), (order(3, 10),), (), (), (order(4),))
    bench.executor.run(script.listen)
    assert bench.ids(4) == [1, 3, 2, 4]
    assert script.timeouts == [0, 0, 0, None, None, None]
    assert bench.executor.wait_quiet(0)


def test_on_a_borrowed_thread_it_sleeps_towards_a_window_and_spins_before_it() -> None:
    bench = Bench()
    times = iter((1_000, 900_000_000, 1_000_000_000))
    bench.executor = Executor("test", bench._perform, bench._report, spin_ns=200, clock=lambda: next(times))
    script = Script(bench, (order(1, 1_000_000_000),), (), ())
    bench.executor.run(script.listen)
    assert script.timeouts == [0, (1_000_000_000 - 1_000 - 200) / 1e9, (100_000_000 - 200) / 1e9, None]
    assert bench.ids(1) == [1]


def test_on_a_borrowed_thread_it_ends_when_nobody_is_there_to_be_told() -> None:
    bench = Bench()

    def report(item: Order, outcome: Outcome) -> None:
        raise BrokenPipeError

    bench.executor = Executor("test", bench._perform, report)
    script = Script(bench, (order(1), order(2)))
    bench.executor.run(script.listen)
    assert script.timeouts == [0]
