"""The model repositories: what is in them, what of it serves, and how that changes.

Model control modes, as Triton's: `none` loads everything once at the start, `poll` follows the directories,
`explicit` loads and unloads by name.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.repository.config import invalid, parse_json
from clockwork_triton.repository.decide import decide
from clockwork_triton.repository.lifecycle import OUTDATED, Failures, ModelLifecycle
from clockwork_triton.repository.loader import ModelLoader
from clockwork_triton.repository.model import IndexEntry, ServedModel, State
from clockwork_triton.repository.plan import ConfigOptions
from clockwork_triton.repository.requirements import Requirements
from clockwork_triton.repository.scan import TWICE, FoundModel, Scan, check_name, model_names, nameless, scan
from clockwork_triton.repository.status import Failure, VersionStatus
from clockwork_triton.repository.upload import Upload
from clockwork_triton.repository.versions import parse_version

EVERY_MODEL = "*"
_NO_FILES: Mapping[str, bytes] = {}

# Between the two looks at the repositories that a start in poll mode takes.
SETTLE_S = 1.0


class ControlMode(Enum):
    NONE = "none"
    POLL = "poll"
    EXPLICIT = "explicit"


class Repository:
    """Implements ModelIndex. Lives on one event loop.

    `load_models`: in explicit mode what to load at the start, in poll mode the only models to follow;
    "*" stands for all. `on_change` hears of every change of a version's state, `on_notice(model, text)` of
    settings that have no effect. `sleep` takes seconds.
    """

    def __init__(
        self,
        roots: Sequence[Path],
        loader: ModelLoader,
        *,
        mode: ControlMode = ControlMode.NONE,
        load_models: Collection[str] = (),
        options: ConfigOptions | None = None,
        poll_interval_s: float = 15.0,
        loads_at_once: int = 4,
        on_change: Callable[[VersionStatus], None] = lambda status: None,
        on_notice: Callable[[str, str], None] = lambda model, text: None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._roots = tuple(roots)
        self._loader = loader
        self._mode = mode
        self._load_models = frozenset(load_models)
        self._options = options or ConfigOptions()
        self._poll_interval_s = poll_interval_s
        self._slots = asyncio.Semaphore(loads_at_once)
        self._on_change = on_change
        self._on_notice = on_notice
        self._sleep = sleep
        self._lifecycles: dict[str, ModelLifecycle] = {}
        self._seen: Scan = {}
        self._tried: dict[str, FoundModel] = {}
        self._nameless: frozenset[str] = frozenset()
        self._started = False
        self._ready: dict[tuple[str, str], ServedModel] = {}
        self._requirements = Requirements()

    async def start(self) -> Failures:
        """Loads what the mode asks for and returns when that is done, with everything that failed.

        ServerError if a repository cannot be read.
        """
        found = await self._scan()
        missing: Failures = ()
        if self._mode is ControlMode.POLL:
            self._seen = found
            await self._sleep(SETTLE_S)
            found = await self._scan()
            chosen = [model for model in found.values() if model == self._seen.get(model.name)]
        else:
            chosen = list(found.values())
        self._seen = found
        if self._mode is ControlMode.EXPLICIT and EVERY_MODEL not in self._load_models:
            chosen = [model for model in chosen if model.name in self._load_models]
            missing = tuple(
                Failure(name, None, _not_polled(name)) for name in sorted(self._load_models - set(found))
            )
        tasks = [self._begin(model) for model in chosen if self._follows(model.name)]
        if tasks:
            await asyncio.wait(tasks)
        self._started = True
        return (*missing, *(failure for task in tasks if not task.cancelled() for failure in task.result()))

    async def run(self) -> None:
        """In poll mode follows the repositories until cancelled; in the others returns at once."""
        while self._mode is ControlMode.POLL:
            await self._sleep(self._poll_interval_s)
            await self.poll()

    async def poll(self) -> None:
        """Looks once, and starts what is to be done about it."""
        try:
            found = await self._scan()
        except ServerError as error:
            # A share that is away for a moment must not unload every model.
            self._on_notice("", error.message)
            return
        decision = decide(self._tried, self._seen, found)
        self._seen = found
        for model in decision.load:
            if self._follows(model.name):
                self._begin(model)
        for name in decision.retire:
            del self._tried[name]
            self._lifecycles[name].unload()

    async def load(
        self, name: str, config: str | None = None, files: Mapping[str, bytes] = _NO_FILES
    ) -> None:
        """Explicit mode; see ModelControl."""
        self._check_control(name)
        try:
            override = None if config is None else parse_json(config)
        except ServerError as error:
            self._on_notice(name, error.message)
            raise _not_polled(name) from error
        if files and config is None:
            raise _not_polled(name)
        upload = await asyncio.to_thread(Upload, name, files) if files else None
        try:
            found = (await self._scan([upload.root] if upload else self._roots)).get(name)
            if found is None or found.refusal:
                raise _not_polled(name)
            task = self._begin(found, override)
        except BaseException:
            if upload:
                upload.remove()
            raise
        # Not when this coroutine ends: the load goes on where its client does not wait for it.
        task.add_done_callback(lambda task: upload.remove() if upload else None)
        failures = await _outcome(task)
        if not found.versions:
            raise ServerError(Code.INTERNAL, f"failed to load '{name}', no version is available")
        if any(failure.version is None for failure in failures):
            raise _not_polled(name)
        if failures:
            states = "".join(
                f"version {failure.version} is at UNAVAILABLE state: {failure.reason};\n"
                for failure in failures
            )
            raise ServerError(Code.INVALID_ARG, f"load failed for model '{name}': {states}")

    def unload(self, name: str, dependents: bool = False) -> None:
        """Explicit mode: takes the model out of service at once, with `dependents` also what an ensemble is
        made of. An unknown name is no error."""
        self._check_control(name)
        steps = self._steps(name) if dependents else ()
        for each in (name, *steps):
            if lifecycle := self._lifecycles.get(each):
                lifecycle.unload()

    def lookup(self, name: str, version: str) -> ServedModel:
        """See ModelIndex."""
        ready = self._ready.get((name, version))
        return ready if ready is not None else self._lookup_number(name, parse_version(version))

    @property
    def ready(self) -> Mapping[tuple[str, str], ServedModel]:
        """What is READY by name and version, as clients write it; "" is the greatest."""
        return self._ready

    def served(self) -> Sequence[ServedModel]:
        """See ModelIndex."""
        return [
            serving.served
            for _, lifecycle in sorted(self._lifecycles.items())
            for _, serving in sorted(lifecycle.serving.items())
        ]

    def statuses(self) -> Sequence[VersionStatus]:
        """Every version that was ever tried, by name and number, with what is known of it."""
        return [s for _, lifecycle in sorted(self._lifecycles.items()) for s in lifecycle.statuses]

    def entries(self) -> Sequence[IndexEntry]:
        """See ModelIndex."""
        lines = [
            IndexEntry(s.name, "" if s.version is None else str(s.version), s.state, s.reason)
            for s in self.statuses()
        ]
        tried = {line.name for line in lines}
        for name, count in self._names().items():
            if name not in tried:
                twice = count > 1
                state = State.UNAVAILABLE if twice else State.UNKNOWN
                lines.append(IndexEntry(name, "", state, TWICE if twice else ""))
        return sorted(lines, key=lambda line: line.name)

    def all_ready(self) -> bool:
        """See ModelIndex."""
        return self._started and all(
            status.state in (State.READY, State.UNLOADING) or status.unloaded for status in self.statuses()
        )

    async def idle(self) -> None:
        """Returns when no load is under way and nothing is left to release."""
        for lifecycle in list(self._lifecycles.values()):
            await lifecycle.idle()

    async def close(self) -> None:
        """Stops the loads under way."""
        for lifecycle in list(self._lifecycles.values()):
            await lifecycle.close()

    async def _scan(self, roots: Sequence[Path] = ()) -> Scan:
        try:
            places = roots or self._roots
            found, skipped = await asyncio.to_thread(lambda: (scan(places), nameless(places)))
        except OSError as error:
            raise ServerError(
                Code.INTERNAL, f"failed to read model repository '{error.filename}': {error.strerror}"
            ) from error
        for path in skipped:
            if path not in self._nameless:
                self._on_notice("", f"'{path}' is passed over: its name is not UTF-8")
        if not roots:
            self._nameless = frozenset(skipped)
        return found

    def _begin(self, found: FoundModel, override: Any = None) -> asyncio.Task[Failures]:
        self._tried[found.name] = found
        self._requirements.forget(found.name)
        if found.name not in self._lifecycles:
            self._lifecycles[found.name] = ModelLifecycle(
                found.name,
                self._loader,
                self._options,
                slots=self._slots,
                on_change=self._changed,
                on_notice=self._on_notice,
                require=self._require,
            )
        return self._lifecycles[found.name].load(found, override)

    def _steps(self, name: str) -> set[str]:
        """The models that an ensemble that serves is made of, all the way down."""
        steps: set[str] = set()
        left = [name]
        while left:
            lifecycle = self._lifecycles.get(left.pop())
            for serving in lifecycle.serving.values() if lifecycle else ():
                if serving.served.ensemble is not None:
                    new = {step.model for step in serving.served.ensemble.steps} - steps
                    steps |= new
                    left += new
        return steps

    async def _require(self, ensemble: str, name: str, version: str) -> ServedModel:
        """See lifecycle.Require."""
        if not self._requirements.add(ensemble, name):
            raise invalid(f"circular dependency between ensembles: '{ensemble}' and '{name}'")
        lifecycle = self._lifecycles.get(name)
        idle = lifecycle is None or not (lifecycle.serving or lifecycle.loading)
        if idle and self._mode is ControlMode.EXPLICIT:
            found = (await self._scan()).get(name)
            if found is not None:
                self._begin(found)
                lifecycle = self._lifecycles[name]
        if lifecycle is None:
            raise invalid(f"ensemble '{ensemble}' contains models that are not available: '{name}'")
        await lifecycle.settled()
        try:
            return self.lookup(name, version)
        except ServerError as error:
            reasons = [status.reason for status in lifecycle.statuses if status.reason]
            why = f" Model '{name}' loading failed with error: {reasons[0]}" if reasons else ""
            lacking = f"which has no loaded version.{why}"
            if lifecycle.serving:
                lacking = f"whose required version {version} is not loaded"
            raise invalid(f"ensemble '{ensemble}' depends on '{name}' {lacking}") from error

    def _changed(self, status: VersionStatus) -> None:
        ready = {key: served for key, served in self._ready.items() if key[0] != status.name}
        serving = self._lifecycles[status.name].serving
        for version, entry in serving.items():
            ready[status.name, str(version)] = entry.served
        if serving:
            ready[status.name, ""] = serving[max(serving)].served
        self._ready = ready
        self._on_change(status)

    def _lookup_number(self, name: str, version: int | None) -> ServedModel:
        lifecycle = self._lifecycles.get(name)
        prefix = f"Request for unknown model: '{name}'"
        if lifecycle is None:
            raise ServerError(Code.NOT_FOUND, f"{prefix} is not found")
        if version is None:
            raise ServerError(Code.NOT_FOUND, f"{prefix} has no available versions")
        if version not in lifecycle.versions:
            raise ServerError(Code.NOT_FOUND, f"{prefix} version {version} is not found")
        if served := self._ready.get((name, str(version))):
            return served
        raise ServerError(Code.UNAVAILABLE, f"{prefix} version {version} is not at ready state")

    def _follows(self, name: str) -> bool:
        every = not self._load_models or EVERY_MODEL in self._load_models
        return self._mode is not ControlMode.POLL or every or name in self._load_models

    def _names(self) -> dict[str, int]:
        if self._mode is not ControlMode.EXPLICIT:
            return {name: 2 if found.refusal == TWICE else 1 for name, found in self._seen.items()}
        try:
            return dict(model_names(self._roots))
        except OSError:
            return {}

    def _check_control(self, name: str) -> None:
        if self._mode is not ControlMode.EXPLICIT:
            raise ServerError(
                Code.UNAVAILABLE, "explicit model load / unload is not allowed if polling is enabled"
            )
        check_name(name)


async def _outcome(task: asyncio.Task[Failures]) -> Failures:
    """The task's result. Whoever waits may be cancelled without stopping the load."""
    await asyncio.wait([task])
    if task.cancelled():
        raise ServerError(Code.INTERNAL, OUTDATED)
    return task.result()


def _not_polled(name: str) -> ServerError:
    return ServerError(Code.INTERNAL, f"failed to load '{name}', failed to poll from model repository")
