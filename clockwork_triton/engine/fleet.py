"""The workers of this server: started together, restarted when they die, each knowing every model."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path

from clockwork_triton.controller.actions import ActionResult
from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.engine.options import EngineOptions
from clockwork_triton.engine.worker_process import WorkerProcess

log = logging.getLogger(__name__)

MAX_DELAY_S = 30.0


class Fleet:
    """Keeps one live process for each configured worker.

    `on_joined` is called when a worker has been told every model, `on_lost` when it is gone. Worker ids are
    the positions in the options and survive restarts.
    """

    def __init__(
        self,
        options: EngineOptions,
        on_joined: Callable[[WorkerSpec], None],
        on_lost: Callable[[int], None],
        on_result: Callable[[WorkerProcess, ActionResult], None],
    ) -> None:
        self._options = options
        self._on_joined = on_joined
        self._on_lost = on_lost
        self._on_result = on_result
        self._live: dict[int, WorkerProcess] = {}
        self._artifacts: dict[int, Path] = {}
        self._restarts: set[asyncio.Task[None]] = set()
        self.restart_count = 0

    async def start(self) -> None:
        """Starts every worker; RuntimeError if one does not come up."""
        await asyncio.gather(*(self._launch(worker_id) for worker_id in range(len(self._options.workers))))

    async def stop(self) -> None:
        for task in self._restarts:
            task.cancel()
        workers = list(self._live.values())
        self._live.clear()
        await asyncio.gather(*(worker.stop() for worker in workers))

    def __getitem__(self, worker_id: int) -> WorkerProcess:
        return self._live[worker_id]

    def __iter__(self) -> Iterator[WorkerProcess]:
        return iter(self._live.values())

    async def register(self, model_id: int, artifact: Path) -> list[str]:
        """Tells every live worker of the model; the reasons of those that cannot run it."""
        self._artifacts[model_id] = artifact
        errors = await asyncio.gather(*(worker.register(model_id, artifact) for worker in self))
        return [error for error in errors if error]

    def unregister(self, model_id: int) -> None:
        self._artifacts.pop(model_id, None)
        for worker in self:
            worker.unregister(model_id)

    async def _launch(self, worker_id: int) -> None:
        options = self._options.workers[worker_id]
        worker = WorkerProcess(worker_id, options, self._on_result, self._worker_lost)
        spec = await worker.start(self._options.start_timeout_s)
        known: set[int] = set()
        while missing := self._artifacts.keys() - known:
            for model_id in missing:
                error = await worker.register(model_id, self._artifacts[model_id])
                if error:
                    log.error("worker %d cannot run model %d again: %s", worker_id, model_id, error)
            known |= missing
        self._live[worker_id] = worker
        self._on_joined(spec)

    def _worker_lost(self, worker: WorkerProcess, reason: str) -> None:
        if self._live.get(worker.worker_id) is not worker:
            return
        log.error("worker %d (%s) is lost: %s", worker.worker_id, worker.options.device, reason)
        del self._live[worker.worker_id]
        self._on_lost(worker.worker_id)
        task = asyncio.create_task(self._restart(worker.worker_id))
        self._restarts.add(task)
        task.add_done_callback(self._restarts.discard)

    async def _restart(self, worker_id: int) -> None:
        delay = self._options.restart_delay_s
        while True:
            await asyncio.sleep(delay)
            with contextlib.suppress(RuntimeError):
                await self._launch(worker_id)
                self.restart_count += 1
                log.info("worker %d is back", worker_id)
                return
            delay = min(2 * delay, MAX_DELAY_S)
            log.error("worker %d did not come back; the next try is in %.1f s", worker_id, delay)
