"""Chooses the requests that are traced, by model, and brings their traces to their files."""

from __future__ import annotations

import itertools
from dataclasses import replace

from clockwork_triton.telemetry.trace import Trace
from clockwork_triton.telemetry.trace_file import TraceFile
from clockwork_triton.telemetry.trace_settings import Changes, TraceSettings, apply


class _Sampler:
    """The counters that go with one state of the settings; new settings begin with new ones."""

    def __init__(self, settings: TraceSettings, file: TraceFile) -> None:
        self.settings = settings
        self.left = settings.count
        self._file = file
        self._seen = 0
        self._under_way = 0
        self._collected: list[str] = []

    def chosen(self) -> bool:
        """Whether the request that has just come is traced."""
        if not self.settings.level or self.left == 0:
            return False
        self._seen += 1
        if self._seen % self.settings.rate:
            return False
        self._under_way += 1
        if self.left > 0:
            self.left -= 1
        return True

    def collect(self, trace: str) -> None:
        self._under_way -= 1
        frequency = self.settings.log_frequency
        if not frequency and self.settings.count < 0:
            self._file.append(trace)
            return
        self._collected.append(trace)
        complete = self.left == 0 and not self._under_way
        if complete or (frequency and len(self._collected) >= frequency):
            self.flush()

    def flush(self) -> None:
        if self._collected:
            self._file.write_numbered(self._collected)
            self._collected.clear()


class Tracer:
    """`defaults`: what the command line says. Global settings are laid over them, a model's over those."""

    def __init__(self, defaults: TraceSettings | None = None) -> None:
        self._defaults = defaults or TraceSettings()
        self._defaults.check()
        self._global: dict[str, object] = {}
        self._models: dict[str, dict[str, object]] = {}
        self._file = TraceFile(self._defaults.file)
        self._numbers = itertools.count(1)
        self._samplers: dict[str, _Sampler] = {"": _Sampler(self._defaults, self._file)}
        self.active = bool(self._defaults.level)

    def settings(self, model: str = "") -> TraceSettings:
        """Those in force for a model, or with "" the global ones; `count` is what is left of it."""
        sampler = self._sampler(model)
        return replace(sampler.settings, count=sampler.left)

    def update(self, model: str, changes: Changes) -> None:
        """Changes the global settings ("") or a model's. ServerError INVALID_ARG if they cannot be."""
        layer = _laid_over(self._global if not model else self._models.get(model, {}), changes)
        if model:
            base = apply(self._defaults, self._global)
            apply(base, layer).check()
            self._models[model] = layer
            self._restart([model])
        else:
            apply(self._defaults, layer).check()
            self._global = layer
            self._restart(["", *self._models])
        self.active = any(sampler.settings.level for sampler in self._samplers.values())

    def sample(self, model: str) -> Trace | None:
        """A trace for a request that has just come, if it is one to be traced."""
        sampler = self._sampler(model)
        if not sampler.chosen():
            return None
        return Trace(next(self._numbers), sampler.settings.level, sampler.collect)

    def close(self) -> None:
        for sampler in self._samplers.values():
            sampler.flush()
        self._file.close()

    def _sampler(self, model: str) -> _Sampler:
        return self._samplers.get(model) or self._samplers[""]

    def _restart(self, models: list[str]) -> None:
        base = apply(self._defaults, self._global)
        for model in models:
            before = self._samplers.pop(model, None)
            if before is not None:
                before.flush()
            if model and not self._models[model]:
                del self._models[model]
                continue
            settings = apply(base, self._models[model]) if model else base
            self._samplers[model] = _Sampler(settings, self._file)


def _laid_over(layer: dict[str, object], changes: Changes) -> dict[str, object]:
    laid = {**layer, **changes}
    return {field: value for field, value in laid.items() if value is not None}
