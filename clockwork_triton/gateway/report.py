"""What a front end has counted, and the sums of what several have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.telemetry.statistics import Statistics

Key = tuple[str, int]
"""A model's name and version."""


@dataclass
class Report:
    """`pending`: requests under way. `stages`: durations of the requests answered last, in the order of
    STAGES. `longest_turn_ns` of its event loop since the last report."""

    statistics: Statistics
    pending: dict[Key, int] = field(default_factory=dict)
    stages: list[tuple[int, ...]] = field(default_factory=list)
    longest_turn_ns: int = 0


def take(reports: Sequence[Report], plane: DataPlane, statistics: Statistics) -> None:
    """Has a data plane that runs no inferences itself tell the sums of those that do."""
    keys = {key for report in reports for key in report.statistics.known}
    for name, version in keys:
        parts = [report.statistics.of(name, version) for report in reports]
        statistics.of(name, version).become_sum(parts)
    pending: Counter[Key] = Counter()
    for report in reports:
        pending.update(report.pending)
    for model in plane.models():
        model.pending = pending[model.served.name, model.served.version]
