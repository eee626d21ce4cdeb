"""From a model version on disk to one the engine can schedule: convert, register, profile."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tritonclient.grpc.model_config_pb2 import DataType

from clockwork_triton.artifact import Distribution, Manifest, Profile
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.artifact.manifest import MODEL_FILENAME
from clockwork_triton.artifact.signature import Signature
from clockwork_triton.controller.commands import Calibrated
from clockwork_triton.controller.specs import Estimate
from clockwork_triton.devices import gpu_of, place, placed_request, precision
from clockwork_triton.engine import calibration
from clockwork_triton.engine.engine import Engine
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.loader import LoadedModel, ModelSource
from clockwork_triton.repository.model import MemoryUse
from clockwork_triton.verification import by_engine, verify
from clockwork_triton.warmup import warm_up
from converters.batch import batch_sizes_for
from converters.pool import ConversionPool
from converters.request import ConversionError, ConversionRequest, Progress

log = logging.getLogger(__name__)


class ArtifactLoader:
    """The ModelLoader of the real server. `progress` is told every step of every conversion. `fallback`: what
    cannot be compiled may run on a host runtime; what holds strings may anyway. `threads`: how many share a
    kernel on a CPU."""

    def __init__(
        self,
        pool: ConversionPool,
        engine: Engine,
        progress: Callable[[Progress], None],
        devices: Sequence[str] = ("cpu:0",),
        *,
        fallback: bool = False,
        threads: int = 1,
    ) -> None:
        self._fallback = fallback
        self._threads = threads
        self._pool = pool
        self._engine = engine
        self._devices = devices
        self._progress = progress
        self.load_seconds: dict[tuple[str, int], float] = {}
        """How long the last load of each version took, its conversion included."""
        self._begun: dict[tuple[str, int], float] = {}

    async def inspect(self, onnx: Path) -> Signature:
        try:
            return await self._pool.inspect(onnx)
        except ConversionError as error:
            raise ServerError(Code.INVALID_ARG, str(error)) from error

    async def convert(self, source: ModelSource) -> Path:
        self._begun[source.name, source.version] = time.monotonic()
        try:
            request = replace(conversion_request(source), threads=self._threads)
            request = placed_request(request, place(source, self._devices))
            fallback = self._fallback or _holds_texts(source.config)
            return await self._pool.convert(request, self._progress, fallback=fallback)
        except ConversionError as error:
            raise ServerError(Code.INVALID_ARG, str(error)) from error

    async def load(self, source: ModelSource, artifact: Path) -> LoadedModel:
        workers = place(source, self._devices).workers
        model_id = await self._engine.models.register(source.name, artifact, workers)
        try:
            loaded = await self._schedule(source.name, model_id, artifact, workers)
            await warm_up(self._engine, source, loaded)
        except BaseException:
            await self._engine.models.retire(model_id)
            raise
        version = (source.name, source.version)
        self.load_seconds[version] = time.monotonic() - self._begun[version]
        return loaded

    async def _schedule(
        self, name: str, model_id: int, artifact: Path, workers: frozenset[int]
    ) -> LoadedModel:
        manifest = replace(await asyncio.to_thread(Manifest.read, artifact), name=name)
        estimates = {}
        for kind in self._engine.device_kinds(workers):
            profile = Profile.read(artifact, kind)
            if profile is None or profile.infer.keys() != manifest.variants.keys():
                profile = await self._measure(model_id, manifest, kind)
                await self._verify(model_id, manifest, artifact, profile)
                _keep(profile, artifact)
            estimates[kind] = _estimate(profile)
        self._engine.models.schedule(model_id, estimates)
        slowest = max(estimates.values(), key=lambda estimate: estimate.load_ns)
        return LoadedModel(
            model_id,
            manifest.inputs,
            manifest.outputs,
            slowest.infer_ns,
            slowest.load_ns,
            manifest.pages * manifest.page_bytes,
            manifest.workspace_bytes,
            artifact,
            manifest.runtime,
            manifest.reason,
            _memory(manifest, artifact, [self._devices[number] for number in sorted(workers)]),
        )

    async def retire(self, model_id: int) -> None:
        await self._engine.models.retire(model_id)

    async def _measure(self, model_id: int, manifest: Manifest, kind: str) -> Profile:
        """A first glance tells how long a run takes, and so how many runs the profile can afford."""
        rough = calibration.rough_estimate(manifest.batch_sizes, manifest.weight_bytes)
        self._progress(Progress(manifest.name, "profile", 0, 2))
        glance = await self._engine.models.calibrate(
            model_id, kind, rough, 1, dict.fromkeys(manifest.batch_sizes, calibration.GLANCE_RUNS)
        )
        estimate = calibration.glance_estimate(glance.load_ns, glance.infer_ns)
        self._progress(Progress(manifest.name, "profile", 1, 2))
        measured = await self._engine.models.calibrate(
            model_id, kind, estimate, calibration.LOADS, calibration.runs_for(estimate)
        )
        self._progress(Progress(manifest.name, "profile", 2, 2))
        return _profile(measured)

    async def _verify(self, model_id: int, manifest: Manifest, artifact: Path, profile: Profile) -> None:
        """A converter that did not have the device could not tell whether the artifact is right."""
        expectation = await asyncio.to_thread(Expectation.read, artifact, manifest)
        if expectation is None:
            return
        kind, estimate = profile.device_kind, _estimate(profile)

        def schedule(size: int) -> None:
            alone = replace(estimate, infer_ns={size: estimate.infer_ns[size]})
            self._engine.models.schedule(model_id, {kind: alone})

        ask = by_engine(self._engine, model_id, manifest, schedule)
        found = await verify(ask, manifest, expectation, kind)
        log.info(
            "'%s' computes on %s what %s says: largest difference %.1e of the output's scale",
            manifest.name,
            kind,
            expectation.reference,
            found,
        )


def conversion_request(source: ModelSource) -> ConversionRequest:
    """What the converters are asked for a version as configured."""
    config, sequence = source.config, source.sequence
    return ConversionRequest(
        onnx=source.onnx,
        name=source.name,
        max_batch_size=config.max_batch_size,
        batch_sizes=batch_sizes_for(config.max_batch_size),
        shapes=source.shapes,
        inputs=(*(tensor.name for tensor in config.input), *(sequence.inputs if sequence else ())),
        outputs=(*(tensor.name for tensor in config.output), *(sequence.outputs if sequence else ())),
        precision=precision(config),
    )


def _memory(manifest: Manifest, artifact: Path, devices: Sequence[str]) -> tuple[MemoryUse, ...]:
    """Weights in whole pages on each device; of a model that is not compiled, its file in each worker."""
    if not manifest.compiled:
        size = (artifact / MODEL_FILENAME).stat().st_size
        return (MemoryUse("CPU", 0, size * len(devices)),)
    uses = []
    for device in devices:
        gpu = gpu_of(device)
        number = int(device.partition(":")[2] or 0) if device.startswith("cpu") else 0
        size = manifest.pages * manifest.page_bytes
        uses.append(MemoryUse("CPU", number, size) if gpu is None else MemoryUse("GPU", gpu, size))
    return tuple(uses)


def _holds_texts(config: Any) -> bool:
    return any(
        tensor.data_type == DataType.Value("TYPE_STRING") for tensor in (*config.input, *config.output)
    )


def _keep(profile: Profile, artifact: Path) -> None:
    """A cache that cannot be written still serves: the next server measures again."""
    try:
        profile.write(artifact)
    except OSError as error:
        log.warning("the profile is not kept: cannot write to %s: %s", artifact, error.strerror)


def _profile(measured: Calibrated) -> Profile:
    infer = {size: Distribution.of(times) for size, times in measured.infer_ns.items()}
    return Profile(measured.device_kind, Distribution.of(measured.load_ns), infer, measured.clock_mhz)


def _estimate(profile: Profile) -> Estimate:
    infer_ns = {size: times.p99_ns for size, times in profile.infer.items()}
    return Estimate(profile.load.p99_ns, infer_ns, profile.clock_mhz)
