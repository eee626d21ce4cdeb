"""One model from its directory to READY, through reloads, to unloaded.

A model that serves nothing yet loads each version by itself. A model that serves keeps serving while new
versions load; they replace the old all together or not at all, and the old are released when their requests
have ended. A newer operation displaces the one under way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from tritonclient.grpc.model_config_pb2 import ModelConfig

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.config import ENSEMBLE_PLATFORM
from clockwork_triton.repository.ensemble import ensemble_plan, new_model_id
from clockwork_triton.repository.loader import LoadedModel, ModelLoader
from clockwork_triton.repository.model import ServedModel, State
from clockwork_triton.repository.plan import (
    ConfigOptions,
    ModelPlan,
    PreparedVersion,
    onnx_path,
    plan_model,
    prepare_ensemble,
    prepare_version,
    served_ensemble,
    served_model,
)
from clockwork_triton.repository.scan import Fingerprint, FoundModel
from clockwork_triton.repository.status import UNLOADED, Failure, Serving, VersionStatus

Failures = tuple[Failure, ...]
Require = Callable[[str, str, str], Awaitable[ServedModel]]
"""For an ensemble, the READY version ("": the latest) of a model that it is made of, loaded where that is
allowed. ServerError in Triton's words if there is none."""

log = logging.getLogger(__name__)

OUTDATED = "Newer operation has been applied to the model lifecycle, current load operation is out-dated."


class ModelLifecycle:
    """The versions of one model. Lives on one event loop; nothing here is called from another thread."""

    def __init__(
        self,
        name: str,
        loader: ModelLoader,
        options: ConfigOptions,
        *,
        slots: asyncio.Semaphore,
        on_change: Callable[[VersionStatus], None],
        on_notice: Callable[[str, str], None],
        require: Require,
    ) -> None:
        """`slots` limits how many versions load at a time, over all models, once they are converted."""
        self._require = require
        self.name = name
        self.versions: dict[int, VersionStatus] = {}
        self.refusal: VersionStatus | None = None
        self._loader = loader
        self._options = options
        self._slots = slots
        self._on_change = on_change
        self._on_notice = on_notice
        self._current: asyncio.Task[Failures] | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def statuses(self) -> tuple[VersionStatus, ...]:
        """Every version, ascending; or the one line that says why there is none."""
        if not self.versions and self.refusal:
            return (self.refusal,)
        if not self.versions and self._current and not self._current.done():
            return (VersionStatus(self.name, None, State.LOADING),)
        return tuple(self.versions[version] for version in sorted(self.versions))

    @property
    def serving(self) -> Mapping[int, Serving]:
        return {v: s.serving for v, s in self.versions.items() if s.state is State.READY and s.serving}

    @property
    def loading(self) -> bool:
        return self._current is not None and not self._current.done()

    async def settled(self) -> None:
        """Returns when no load is under way, or the one that is has ended."""
        if self._current is not None and not self._current.done():
            await asyncio.wait([self._current])

    def load(self, found: FoundModel, override: Any = None) -> asyncio.Task[Failures]:
        """Starts to bring the model to what `found` holds. The task gives what failed; it is cancelled if
        a newer operation displaces it."""
        self._displace()
        self._current = asyncio.create_task(self._load(found, override), name=f"load {self.name}")
        return self._current

    def unload(self) -> None:
        """Takes every version out of service at once; they are released when their requests have ended."""
        self._displace()
        self.refusal = None
        for version, status in list(self.versions.items()):
            if status.state is State.READY:
                self._unload_version(version)
            elif status.state is not State.UNLOADING:
                self._set(VersionStatus(self.name, version, State.UNAVAILABLE, UNLOADED))

    async def idle(self) -> None:
        """Returns when no operation is under way and nothing is left to release."""
        while pending := [task for task in (self._current, *self._background) if task and not task.done()]:
            await asyncio.wait(pending)

    async def close(self) -> None:
        """Stops a load under way. What serves goes on until the server ends."""
        if self._current is not None:
            self._current.cancel()
        await self.idle()

    def _displace(self) -> None:
        if self._current is None or self._current.done():
            return
        self._current.cancel()
        for version, status in list(self.versions.items()):
            if status.state is State.LOADING:
                self._set(VersionStatus(self.name, version, State.UNAVAILABLE, OUTDATED))

    async def _load(self, found: FoundModel, override: Any) -> Failures:
        try:
            if found.refusal:
                raise ServerError(Code.INVALID_ARG, found.refusal)
            with _any_error_as_server_error():
                plan = await asyncio.to_thread(
                    plan_model, self.name, found.directory, found.versions, self._options, override
                )
        except ServerError as error:
            return self._refuse(error)
        for notice in plan.notices:
            self._on_notice(self.name, notice)
        self.refusal = None
        if self.serving:
            return await self._reload(plan, found)
        return await self._load_first(plan, found)

    def _refuse(self, error: ServerError) -> Failures:
        failure = Failure(self.name, None, error)
        if self.serving:
            self._keep_serving(failure)
        else:
            self.versions.clear()
            self.refusal = VersionStatus(self.name, None, State.UNAVAILABLE, error.message)
            self._on_change(self.refusal)
        return (failure,)

    async def _load_first(self, plan: ModelPlan, found: FoundModel) -> Failures:
        for version in [v for v, status in self.versions.items() if status.state is not State.UNLOADING]:
            del self.versions[version]
        for version in plan.versions:
            self._set(VersionStatus(self.name, version, State.LOADING))

        async def load(version: int) -> Failure | None:
            try:
                serving = await self._bring_up(plan, version, found.versions[version])
            except ServerError as error:
                failure = Failure(self.name, version, error)
                self._set(VersionStatus(self.name, version, State.UNAVAILABLE, failure.reason))
                return failure
            self._set(VersionStatus(self.name, version, State.READY, serving.loaded.note, serving))
            return None

        outcomes = await asyncio.gather(*(load(version) for version in plan.versions))
        return tuple(failure for failure in outcomes if failure)

    async def _reload(self, plan: ModelPlan, found: FoundModel) -> Failures:
        before = self.serving
        fresh: dict[int, Serving] = {}
        failures: list[Failure] = []

        async def load(version: int) -> None:
            try:
                fresh[version] = await self._bring_up(plan, version, found.versions[version])
            except ServerError as error:
                failures.append(Failure(self.name, version, error))

        try:
            await asyncio.gather(*(load(version) for version in plan.versions))
        except asyncio.CancelledError:
            self._release_all(fresh, unless=before)
            raise
        if failures:
            self._release_all(fresh, unless=before)
            for failure in failures:
                self._keep_serving(failure)
        else:
            self._swap(fresh)
        return tuple(sorted(failures, key=lambda failure: failure.version or 0))

    def _swap(self, fresh: Mapping[int, Serving]) -> None:
        before = self.serving
        for version, status in list(self.versions.items()):
            if status.state not in (State.READY, State.UNLOADING):
                del self.versions[version]
        for version, serving in fresh.items():
            self._set(VersionStatus(self.name, version, State.READY, serving.loaded.note, serving))
        for version in before.keys() - fresh.keys():
            self._unload_version(version)
        self._release_all({v: s for v, s in before.items() if v in fresh}, unless=fresh)

    def _release_all(self, versions: Mapping[int, Serving], unless: Mapping[int, Serving]) -> None:
        kept = {serving.loaded.model_id for serving in unless.values()}
        for serving in versions.values():
            if serving.loaded.model_id not in kept:
                self._spawn(self._release(serving.loaded))

    async def _release(self, loaded: LoadedModel) -> None:
        if loaded.runtime == ENSEMBLE_PLATFORM:
            return
        try:
            await self._loader.retire(loaded.model_id)
        except Exception:
            log.exception("Releasing model '%s' failed", self.name)

    def _keep_serving(self, failure: Failure) -> None:
        which = "" if failure.version is None else f"version {failure.version}: "
        for version in self.serving:
            reason = f"failed to load what replaces it: {which}{failure.reason}"
            self._set(replace(self.versions[version], reason=reason))

    def _unload_version(self, version: int) -> None:
        status = self.versions[version]
        assert status.serving is not None
        loaded = status.serving.loaded
        self._set(replace(status, state=State.UNLOADING, reason=""))

        async def release() -> None:
            await self._release(loaded)
            current = self.versions.get(version)
            if current and current.state is State.UNLOADING and current.serving is status.serving:
                self._set(VersionStatus(self.name, version, State.UNAVAILABLE, UNLOADED))

        self._spawn(release())

    async def _bring_up(self, plan: ModelPlan, version: int, files: Fingerprint) -> Serving:
        """The version, loaded; or the one that serves already, if nothing about it has changed."""
        if plan.config.platform == ENSEMBLE_PLATFORM:
            return await self._bring_up_ensemble(plan, version, files)
        current = self.serving.get(version)
        with _any_error_as_server_error():
            signature = await self._loader.inspect(await asyncio.to_thread(onnx_path, plan, version))
            prepared = await asyncio.to_thread(prepare_version, plan, version, signature, self._options)
            key = _key(prepared, files)
            if current and current.key == key:
                return Serving(key, prepared, current.loaded, served_model(prepared, current.loaded))
            # In no slot: models whose artifacts are there already must not wait for a slow conversion.
            artifact = await self._loader.convert(prepared.source)
            async with self._slots:
                loaded = await self._loader.load(prepared.source, artifact)
            try:
                return Serving(key, prepared, loaded, served_model(prepared, loaded))
            except ServerError:
                self._spawn(self._release(loaded))
                raise

    async def _bring_up_ensemble(self, plan: ModelPlan, version: int, files: Fingerprint) -> Serving:
        """Checked anew by each load, since its steps may have changed."""
        with _any_error_as_server_error():
            steps = ensemble_plan(plan.config).steps
            models = [await self._require(self.name, step.model, step.version) for step in steps]
            prepared = await asyncio.to_thread(prepare_ensemble, plan, version)
            served = served_ensemble(prepared, new_model_id(), models)
            loaded = LoadedModel(
                served.model_id, served.inputs, served.outputs, {}, 0, 0, 0, plan.directory, served.runtime
            )
            return Serving(_key(prepared, files), prepared, loaded, served)

    def _set(self, status: VersionStatus) -> None:
        assert status.version is not None
        self.versions[status.version] = status
        self._on_change(status)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


@contextmanager
def _any_error_as_server_error() -> Iterator[None]:
    """A model that fails in a way nobody foresaw fails alone, and says so."""
    try:
        yield
    except ServerError:
        raise
    except Exception as error:
        log.exception("Loading a model failed")
        raise ServerError(Code.INTERNAL, f"{type(error).__name__}: {error}") from error


def _key(prepared: PreparedVersion, files: Fingerprint) -> object:
    """What a version's answers depend on. The version policy chooses among versions and changes none."""
    config = ModelConfig()
    config.CopyFrom(prepared.source.config)
    config.ClearField("version_policy")
    return config.SerializeToString(deterministic=True), prepared.labels, files
