"""The workers of this server: started together, restarted when they die, each knowing every model."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable
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
        on_result: Callable[[WorkerProcess, ActionResult, int], None],
    ) -> None:
        self._options = options
        self._on_joined = on_joined
        self._on_lost = on_lost
        self._on_result = on_result
        self._live: dict[int, WorkerProcess] = {}
        self._ending: dict[int, WorkerProcess] = {}
        """Lost or given up, and not known to be gone."""
        self._artifacts: dict[int, Path] = {}
        self._only: dict[int, frozenset[int] | None] = {}
        """The workers that are told of a model, where not all are."""
        self._restarts: set[asyncio.Task[None]] = set()
        self._stopping = False
        self.specs: dict[int, WorkerSpec] = {}
        """As each worker last presented itself, whether it is up or not."""
        self.restarts: Counter[int] = Counter()

    async def start(self) -> None:
        """Starts every worker. RuntimeError or OSError if one does not come up: those still starting are
        ended; those that are up are left to `stop`."""
        launches = [asyncio.ensure_future(self._launch(i)) for i in range(len(self._options.workers))]
        try:
            await asyncio.gather(*launches)
        finally:
            for launch in launches:
                launch.cancel()
            await asyncio.gather(*launches, return_exceptions=True)

    async def stop(self) -> None:
        """Ends every worker, also those that are lost while it does; none has a successor any more."""
        self._stopping = True
        for task in self._restarts:
            task.cancel()
        await asyncio.gather(*self._restarts, return_exceptions=True)
        stops = [worker.stop() for worker in self._live.values()]
        stops += [worker.stop(0.0) for worker in self._ending.values()]
        self._live.clear()
        await asyncio.gather(*stops)

    def __len__(self) -> int:
        """The workers that are up."""
        return len(self._live)

    def __getitem__(self, worker_id: int) -> WorkerProcess:
        return self._live[worker_id]

    def get(self, worker_id: int) -> WorkerProcess | None:
        """The worker's process, None while it is down."""
        return self._live.get(worker_id)

    async def register(self, model_id: int, artifact: Path, only: frozenset[int] | None = None) -> list[str]:
        """Tells every live worker of the model, or those with these ids; the reasons of those that cannot run
        it.

        A worker that dies meanwhile is no verdict: it is told again when it is back.
        """
        self._artifacts[model_id] = artifact
        self._only[model_id] = only
        workers = [worker for worker in self._live.values() if only is None or worker.worker_id in only]
        verdicts = await asyncio.gather(*(worker.register(model_id, artifact) for worker in workers))
        return [error for error in verdicts if error]

    def unregister(self, model_id: int) -> None:
        self._only.pop(model_id, None)
        if self._artifacts.pop(model_id, None) is not None:
            for worker in self._live.values():
                worker.unregister(model_id)

    async def _launch(self, worker_id: int) -> None:
        options = self._options.workers[worker_id]
        worker = WorkerProcess(worker_id, options, self._on_result, self._worker_lost)
        try:
            spec = await worker.start(self._options.start_timeout_s)
            await self._tell_models(worker)
            if worker.lost:
                raise RuntimeError(f"worker {worker_id} ended while it was told the models")
        except BaseException:
            worker.kill()
            self._ending[worker_id] = worker
            if not self._stopping:  # `stop` waits for all of them at once
                await worker.stop(0.0)
            raise
        self._live[worker_id] = worker
        self.specs[worker_id] = spec
        self._on_joined(spec)

    async def _tell_models(self, worker: WorkerProcess) -> None:
        """Registers every model, also those that come while this goes on, and forgets those that go."""
        told: set[int] = set()
        while missing := self._artifacts.keys() - told:
            for model_id in sorted(missing):
                told.add(model_id)
                only = self._only.get(model_id)
                if only is not None and worker.worker_id not in only:
                    continue
                artifact = self._artifacts.get(model_id)
                error = await worker.register(model_id, artifact) if artifact is not None else None
                if error:
                    log.error("worker %d cannot run model %d again: %s", worker.worker_id, model_id, error)
        for model_id in told - self._artifacts.keys():
            worker.unregister(model_id)

    def _worker_lost(self, worker: WorkerProcess, reason: str) -> None:
        if self._live.get(worker.worker_id) is not worker:
            return
        log.error("worker %d (%s) is lost: %s", worker.worker_id, worker.options.device, reason)
        del self._live[worker.worker_id]
        self._ending[worker.worker_id] = worker
        if not self._stopping:
            task = asyncio.create_task(self._replace(worker.worker_id))
            self._restarts.add(task)
            task.add_done_callback(self._restarts.discard)
        self._on_lost(worker.worker_id)

    async def _replace(self, worker_id: int) -> None:
        """Starts a successor, which finds no room on the device before those that ran there are gone."""
        delay = self._options.restart_delay_s
        while not self._stopping:  # asyncio.wait_for may lose a cancellation, before Python 3.12
            ending = self._ending.get(worker_id)
            if ending is not None:
                await ending.gone()
                del self._ending[worker_id]
            await asyncio.sleep(delay)
            try:
                await self._launch(worker_id)
            except Exception as error:  # whatever it is, a server without its worker must go on trying
                delay = min(2 * delay, MAX_DELAY_S)
                log.error("worker %d is not back (%s); the next try is in %.1f s", worker_id, error, delay)
            else:
                self.restarts[worker_id] += 1
                log.info("worker %d is back", worker_id)
                return
