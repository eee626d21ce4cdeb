"""The thread that starts actions when their windows say so."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from clockwork_triton.worker.performer import TOO_LATE, Outcome
from clockwork_triton.worker.windows import ActionQueue, Order, Start, TooLate, WaitUntil

SPIN_NS = 80_000


class Executor:
    """Performs one order at a time, in the order of ActionQueue.

    `perform` and `report` run on its thread; `report` may raise OSError, which ends it: nobody is there to
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
    ) -> None:
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

    def stop(self, timeout_s: float) -> None:
        """Ends after the order that runs; those that wait are dropped."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join(timeout_s)

    def wait_quiet(self, timeout_s: float) -> bool:
        """Waits until it has nothing to do, and says whether that came about."""
        return self._quiet.wait(timeout_s)

    def _run(self) -> None:
        while (verdict := self._next()) is not None:
            outcome = self._perform(verdict.order) if isinstance(verdict, Start) else TOO_LATE
            try:
                self._report(verdict.order, outcome)
            except OSError:
                return

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
