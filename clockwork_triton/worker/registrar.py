"""Prepares models beside the executors, in the gaps between actions."""

from __future__ import annotations

import gc
import logging
import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from clockwork_triton.worker.device import Device
from clockwork_triton.worker.performer import Performer

log = logging.getLogger(__name__)

# A piece of a registration waits this long for a moment without actions; then it takes its turn anyway.
PATIENCE_S = 0.1
# The cyclic collector is off; what little garbage has cycles is collected this often, when nothing runs.
COLLECT_EVERY_S = 10.0


class Registrar:
    """Registers and unregisters models one after the other on a thread of its own.

    `wait_quiet(timeout_s)` waits for a moment without actions; `registered(model_id, error)` is told of each
    registration, with an empty error where it succeeded, and may raise OSError where nobody listens;
    `done()` is called after each task.
    """

    def __init__(
        self,
        device: Device,
        performer: Performer,
        wait_quiet: Callable[[float], bool],
        registered: Callable[[int, str], None],
        done: Callable[[], None] = lambda: None,
    ) -> None:
        self._device = device
        self._performer = performer
        self._wait_quiet = wait_quiet
        self._registered = registered
        self._done = done
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="registrar", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def register(self, model_id: int, artifact: Path) -> None:
        self._tasks.put(lambda: self._register(model_id, artifact))

    def unregister(self, model_id: int) -> None:
        self._tasks.put(lambda: self._in_pieces(self._performer.unregister(model_id)))

    def stop(self, timeout_s: float) -> None:
        self._tasks.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while True:
            try:
                task = self._tasks.get(timeout=COLLECT_EVERY_S)
            except queue.Empty:
                if self._wait_quiet(0):
                    gc.collect()
                continue
            if task is None:
                return
            self._wait_quiet(PATIENCE_S)
            try:
                task()
                self._done()
            except OSError:
                return

    def _register(self, model_id: int, artifact: Path) -> None:
        error = self._prepare(model_id, artifact)
        if self._tasks.empty():
            # What a registration leaves behind lives long: out of the collector's sight with it.
            self._wait_quiet(PATIENCE_S)
            gc.collect()
            gc.freeze()
        self._registered(model_id, error)

    def _in_pieces(self, work: Iterator[None]) -> None:
        for _ in work:
            self._wait_quiet(PATIENCE_S)

    def _prepare(self, model_id: int, artifact: Path) -> str:
        """Registers the model at the device; the answer is empty, or why it cannot be run."""
        if self._device.registered(model_id) is not None:
            return f"model {model_id} is registered already"
        try:
            self._in_pieces(self._device.register(model_id, artifact))
        except Exception as error:
            log.warning("cannot run %s: %s", artifact, error)
            return str(error) or type(error).__name__
        return ""
