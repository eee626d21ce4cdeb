"""Starts actions when their windows say so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from clockwork_triton.worker.performer import TOO_LATE, Outcome
from clockwork_triton.worker.windows import ActionQueue, Order, Start, TooLate, WaitUntil

SPIN_NS = 80_000


class Executor:
    """Performs one order at a time, in the order of ActionQueue.

    It has a thread of its own (`start`), or takes that of a caller who also brings the orders (`run`): then
    nobody has to be woken for an order, which takes longer than a small model does.

    `perform` and `report` run on that thread; `report` may raise OSError, which ends it: nobody is there to
    be told. `spin_ns`: how long before the beginning of a window sleeping ends and looking at the clock
    begins, since the system wakes a sleeper some tens of microseconds late.
    """

    def __init__(
        self,
        name: str,
        perform: Callable[[Order], Outcome],
        report: Callable[[Order, Outcome], None],
        *,
        spin_ns: int = SPIN_NS,
        clock: Callable[[], int] = time.monotonic_ns,
        prepare: Callable[[], object] = lambda: None,
    ) -> None:
        """`prepare` is the first thing that a thread of its own does."""
        self._prepare = prepare
        self._perform = perform
        self._report = report
        self._spin_ns = spin_ns
        self._clock = clock
        self._queue = ActionQueue()
        self._changed = threading.Condition()
        self._stopping = False
        self._quiet = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, order: Order) -> None:
        with self._changed:
            self._quiet.clear()
            self._queue.push(order)
            self._changed.notify()

    def add(self, order: Order) -> None:
        """As `submit`, for whoever brings the orders to `run`, and so has nobody to tell."""
        self._quiet.clear()
        self._queue.push(order)

    def stop(self, timeout_s: float) -> None:
        """Ends after the order that runs; those that wait are dropped."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def wait_quiet(self, timeout_s: float) -> bool:
        """Waits until it has nothing to do, and says whether that came about."""
        return self._quiet.wait(timeout_s)

    def run(self, listen: Callable[[float | None], bool]) -> None:
        """Performs orders on this thread until `listen` returns False. `listen(timeout_s)` submits what has
        come, and waits for it up to that long, for ever where it is None."""
        timeout_s: float | None = 0
        while listen(timeout_s):
            now_ns = self._clock()
            verdict = self._queue.next(now_ns)
            if isinstance(verdict, WaitUntil):
                timeout_s = max(0, verdict.time_ns - now_ns - self._spin_ns) / 1e9
                continue
            if verdict is not None and not self._carry_out(verdict):
                return
            timeout_s = 0
            if not len(self._queue):
                timeout_s = None
                self._quiet.set()

    def _run(self) -> None:
        self._prepare()
        while (verdict := self._next()) is not None and self._carry_out(verdict):
            pass

    def _carry_out(self, verdict: Start | TooLate) -> bool:
        """False if nobody is there to be told."""
        outcome = self._perform(verdict.order) if isinstance(verdict, Start) else TOO_LATE
        try:
            self._report(verdict.order, outcome)
        except OSError:
            return False
        return True

    def _next(self) -> Start | TooLate | None:
        """Waits for an order whose time has come or gone; None when stopped."""
        with self._changed:
            while not self._stopping:
                now_ns = self._clock()
                verdict = self._queue.next(now_ns)
                if verdict is None:
                    self._quiet.set()
                    self._changed.wait()
                elif isinstance(verdict, WaitUntil):
                    # Within `spin_ns` this is a look at the clock that lets the lock go.
                    self._changed.wait(max(0, verdict.time_ns - now_ns - self._spin_ns) / 1e9)
                else:
                    return verdict
            return None
