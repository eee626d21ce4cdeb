"""The Prometheus text format, with names exactly as given.

The usual client library appends `_total` to the name of every counter; Triton's have no such suffix, and
dashboards query them by name.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from clockwork_triton.telemetry.histogram import Histogram
from clockwork_triton.telemetry.summary import Summary

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(slots=True)
class Family:
    """The samples of one metric. `kind`: counter, gauge, histogram or summary."""

    name: str
    kind: str
    help: str
    lines: list[str] = field(default_factory=list)

    def add(self, labels: Mapping[str, str], value: float) -> None:
        self.lines.append(f"{self.name}{_labels(labels)} {_number(value)}")

    def add_histogram(self, labels: Mapping[str, str], histogram: Histogram, unit: float) -> None:
        """`unit`: how many of the histogram's units one of the metric's is."""
        below = 0
        bounds = [_number(bound / unit) for bound in histogram.bounds]
        for bound, count in zip((*bounds, "+Inf"), histogram.counts, strict=True):
            below += count
            self.lines.append(f"{self.name}_bucket{_labels({**labels, 'le': bound})} {below}")
        self.lines.append(f"{self.name}_sum{_labels(labels)} {_number(histogram.total / unit)}")
        self.lines.append(f"{self.name}_count{_labels(labels)} {below}")

    def add_summary(
        self,
        labels: Mapping[str, str],
        summary: Summary,
        now_ns: int,
        quantiles: Sequence[float],
        unit: float,
    ) -> None:
        for quantile, value in zip(quantiles, summary.quantiles(now_ns, quantiles), strict=True):
            shown = math.nan if value is None else value / unit
            self.lines.append(
                f"{self.name}{_labels({**labels, 'quantile': repr(quantile)})} {_number(shown)}"
            )
        self.lines.append(f"{self.name}_sum{_labels(labels)} {_number(summary.total / unit)}")
        self.lines.append(f"{self.name}_count{_labels(labels)} {summary.count}")


def exposition(families: Iterable[Family]) -> str:
    """The text of all families that have samples."""
    lines: list[str] = []
    for family in families:
        if family.lines:
            lines.append(f"# HELP {family.name} {_escape_help(family.help)}")
            lines.append(f"# TYPE {family.name} {family.kind}")
            lines += family.lines
    return "\n".join(lines) + "\n"


def _labels(labels: Mapping[str, str]) -> str:
    """Sorted: scripts search for the text of a whole sample."""
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escape(labels[name])}"' for name in sorted(labels)) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _escape_help(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _number(value: float) -> str:
    if math.isnan(value):
        return "Nan"
    return str(int(value)) if value == int(value) else repr(float(value))
