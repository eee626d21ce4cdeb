"""What the metrics show of the parts that a front end does not know: filled in by whoever composes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from clockwork_triton.telemetry.histogram import Histogram


@dataclass(frozen=True, slots=True)
class WorkerGauges:
    """`memory_used_bytes` and `memory_limit_bytes` are of the weights' pages; `loads`, `unloads` and `infers`
    count actions done, `refused` those that the worker did not do, `restarts` how often it was lost and came
    back."""

    worker: str
    device: str
    up: bool
    restarts: int
    memory_used_bytes: int
    memory_limit_bytes: int
    loads: int
    unloads: int
    infers: int
    refused: int


@dataclass(frozen=True, slots=True)
class ServerGauges:
    """A snapshot of the server behind the front end.

    `load_seconds`: by model and version, how long it took from its discovery until it was READY.
    `prediction_errors`: of |measured - predicted| nanoseconds, by action ("LOAD", "INFER") and direction
    ("under" where it took longer than predicted, "over" where it took less).
    `stages`: of each stage of the requests answered last, nanoseconds at STAGE_QUANTILES.
    `longest_turn_ns`: the longest that the event loop was busy without looking for what came, since the last
    scrape.
    """

    workers: tuple[WorkerGauges, ...] = ()
    load_seconds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    prediction_errors: Mapping[tuple[str, str], Histogram] = field(default_factory=dict)
    stages: Mapping[str, Sequence[int]] = field(default_factory=dict)
    longest_turn_ns: int = 0
