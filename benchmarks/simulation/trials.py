"""Running experiments for a check."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from clockwork_triton.simulation.experiment import Experiment, Runner
from clockwork_triton.simulation.report import report

Progress = Callable[[int], None]


class Trials:
    """`share`: of their usual duration that experiments last, for a quick look. `kept`: a folder for reports,
    where a run that has been made before is found again. `progress`: told of virtual time."""

    def __init__(
        self, share: float = 1.0, kept: Path | None = None, progress: Progress | None = None
    ) -> None:
        self.share = share
        self._kept = kept
        self._progress = progress

    def duration_ns(self, seconds: float) -> int:
        return max(1, round(seconds * self.share * 1e9))

    def run(self, policy: str, experiment: Experiment) -> dict[str, Any]:
        """The report of the run; see docs/simulation.md."""
        path = self._path(policy, experiment)
        if path is not None and path.exists():
            return dict(json.loads(path.read_text()))
        # A simulation makes no cycles worth looking for, and holds many objects.
        gc.collect()
        gc.disable()
        try:
            found = report(Runner(policy, self._progress).run(experiment))
        finally:
            gc.enable()
        if path is not None:
            path.write_text(json.dumps(found) + "\n")
        return found

    def _path(self, policy: str, experiment: Experiment) -> Path | None:
        if self._kept is None:
            return None
        facts = f"{experiment.models} {experiment.workloads} {experiment.noise} {experiment.options}"
        facts += f" {experiment.duration_ns} {experiment.devices} {experiment.device} {experiment.seed}"
        name = hashlib.sha256(facts.encode()).hexdigest()[:12]
        return self._kept / f"{experiment.name.replace(' ', '_').replace('/', '_')}-{policy}-{name}.json"
