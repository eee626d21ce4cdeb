"""The models that workers have been told of, and those who wait for something to become of one."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from clockwork_triton.artifact import Manifest
from clockwork_triton.controller.commands import Calibrated, ModelGone
from clockwork_triton.controller.events import CalibrationAsked, Event, ModelAdded, ModelRetired
from clockwork_triton.controller.specs import Estimate, ModelSpec
from clockwork_triton.engine.fleet import Fleet
from clockwork_triton.errors import Code, ServerError

STOPPING = "Server is stopping"


class KnownModels:
    """What the model loader calls. `handle(event)` tells the controller; `deliver()` first tells it of the
    requests that have arrived before. `manifests`: by model id."""

    def __init__(self, fleet: Fleet, handle: Callable[[Event], None], deliver: Callable[[], None]) -> None:
        self._fleet = fleet
        self._handle = handle
        self._deliver = deliver
        self.manifests: dict[int, Manifest] = {}
        self._restrictions: dict[int, frozenset[int] | None] = {}
        """The workers that may run a model, where not all may."""
        self._calibrations: dict[tuple[int, str], asyncio.Future[Calibrated]] = {}
        self._gone: dict[int, asyncio.Future[None]] = {}
        self._ids = itertools.count(1)
        self._stopped = False

    async def register(self, name: str, artifact: Path, workers: frozenset[int] | None = None) -> int:
        """Makes an artifact known to every worker, or to those with these ids, and returns its id; without
        estimates it cannot run yet.

        ServerError with the worker's words if one of them cannot run it.
        """
        # An artifact may have been made for a model of another name with the same contents.
        manifest = replace(await asyncio.to_thread(Manifest.read, artifact), name=name)
        model_id = next(self._ids)
        try:
            errors = await self._fleet.register(model_id, artifact, workers)
            if errors:
                raise ServerError(Code.INVALID_ARG, f"a worker cannot run '{name}': {errors[0]}")
        except BaseException:
            self._fleet.unregister(model_id)
            raise
        self.manifests[model_id] = manifest
        self._restrictions[model_id] = workers
        self.schedule(model_id, {})
        return model_id

    def schedule(self, model_id: int, estimates: Mapping[str, Estimate]) -> None:
        """From now on the model may be asked for; a second call replaces its estimates."""
        manifest = self.manifests[model_id]
        segments = tuple(segment.pages for segment in manifest.segments)
        workers = self._restrictions[model_id]
        self._handle(ModelAdded(ModelSpec(model_id, manifest.name, segments, estimates, workers)))

    async def calibrate(
        self, model_id: int, device_kind: str, rough: Estimate, loads: int, runs: Mapping[int, int]
    ) -> Calibrated:
        """Measured durations; ServerError if they cannot be had."""
        future: asyncio.Future[Calibrated] = asyncio.get_running_loop().create_future()
        self._calibrations[model_id, device_kind] = future
        self._handle(CalibrationAsked(model_id, device_kind, rough, loads, runs))
        measured = await future
        if measured.error:
            raise ServerError(Code.INTERNAL, f"profiling failed: {measured.error}")
        return measured

    async def retire(self, model_id: int) -> None:
        """Waits for the model's requests to end, then frees what it holds."""
        if self._stopped:
            return
        gone = self._gone[model_id] = asyncio.get_running_loop().create_future()
        # What arrived before is still served.
        self._deliver()
        self._handle(ModelRetired(model_id))
        await gone

    # For the engine.

    def calibrating(self, model_id: int) -> bool:
        calibrations = self._calibrations
        return bool(calibrations) and any(model == model_id for model, _ in calibrations)

    def calibrated(self, command: Calibrated) -> None:
        calibration = self._calibrations.pop((command.model_id, command.device_kind))
        if not calibration.done():
            calibration.set_result(command)

    def forget(self, command: ModelGone) -> None:
        model_id = command.model_id
        self._fleet.unregister(model_id)
        del self.manifests[model_id], self._restrictions[model_id]
        gone = self._gone.pop(model_id)
        if not gone.done():
            gone.set_result(None)

    def stop(self) -> None:
        """Whoever still waits is told UNAVAILABLE, or that it is done."""
        self._stopped = True
        for calibration in self._calibrations.values():
            _fail(calibration)
        for gone in self._gone.values():
            if not gone.done():
                gone.set_result(None)


def _fail(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(ServerError(Code.UNAVAILABLE, STOPPING))
