"""What a check consists of, in the order of importance, and how the time there is is shared out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.gpu.kit import FIRST, Model

# The most that a step may take, in seconds, where there is time for all.
MACHINE_S = 30.0
UNPACK_S = 15.0
INFER_S = {FIRST: 170.0}
OTHER_INFER_S = 90.0
LOAD_S = 30.0
TORCH_S = 80.0
SERVING_S = 90.0
TESTS_S = 70.0
BUSY_S = 20.0
REGISTER_S = 15.0
PLAIN_S = 15.0
# A step is to stop by itself after such a part of its time; then it is stopped.
OWN_SHARE = 0.8


@dataclass(frozen=True)
class Task:
    """What the process of a step is told. `model`: its key; empty for steps that are of no single one.
    `seconds`: after which it is to come to its end."""

    kind: str
    kit: str
    model: str
    device: int
    runs: int
    serve: tuple[str, ...]
    tests: tuple[str, ...]
    seconds: float = 0.0

    @property
    def name(self) -> str:
        return f"{self.kind} {self.model}".strip()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Task:
        fields = json.loads(text)
        return cls(**{**fields, "serve": tuple(fields["serve"]), "tests": tuple(fields["tests"])})


@dataclass(frozen=True)
class Plan:
    """What all steps of a check have in common. `serve`: keys of models, `tests`: files or folders."""

    kit: Path
    device: int
    runs: int
    serve: tuple[str, ...]
    tests: tuple[str, ...]

    def task(self, kind: str, model: str = "") -> Task:
        return Task(kind, str(self.kit), model, self.device, self.runs, self.serve, self.tests)

    def steps(self, models: Sequence[Model]) -> list[tuple[Task, float]]:
        """Each with the most seconds it may take."""
        found = [(self.task("machine"), MACHINE_S)]
        found += [(self.task("unpack", m.key), UNPACK_S) for m in models]
        found += [(self.task("infer", m.key), INFER_S.get(m.name, OTHER_INFER_S)) for m in models]
        found += [(self.task("load", m.key), LOAD_S) for m in models]
        found += [(self.task("PyTorch"), TORCH_S), (self.task("serving"), SERVING_S)]
        found += [(self.task("tests"), TESTS_S)]
        found += [(self.task("busy", m.key), BUSY_S) for m in models]
        found += [(self.task("register", m.key), REGISTER_S) for m in models]
        found += [(self.task("plain", m.key), PLAIN_S) for m in models]
        return found


def share(most: Sequence[float], left: float) -> float:
    """Seconds for the first of the steps that are still to come, of the most that each may take: all of it,
    or where there is too little time left for all of them, as much less as for the others."""
    return most[0] * max(0.0, min(1.0, left / sum(most)))
