"""The thread that waits for the outputs of INFERs, while the next one runs."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from clockwork_triton.worker.device import Outputs
from clockwork_triton.worker.performer import Outcome
from clockwork_triton.worker.windows import Order


class Finisher:
    """Makes outcomes whole, in the order in which they come.

    `finish` and `report` run on its thread; `report` may raise OSError, which ends it: nobody is there to
    be told.
    """

    def __init__(
        self, finish: Callable[[Order, Outputs], Outcome], report: Callable[[Order, Outcome], None]
    ) -> None:
        self._finish = finish
        self._report = report
        self._tasks: queue.SimpleQueue[tuple[Order, Outputs] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="outputs", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, order: Order, outputs: Outputs) -> None:
        self._tasks.put((order, outputs))

    def stop(self, timeout_s: float) -> None:
        """Ends after what was submitted."""
        self._tasks.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                self._report(task[0], self._finish(*task))
            except OSError:
                return
