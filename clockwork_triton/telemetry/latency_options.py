"""Which forms of latencies the metrics show: Triton's `--metrics-config`."""

from __future__ import annotations

from dataclasses import dataclass

from clockwork_triton.telemetry.summary import QUANTILES


@dataclass(frozen=True)
class LatencyOptions:
    """`counters`: cumulated durations. `histograms`: of the time to the first response. `summaries`: of each
    stage of a request, at `quantiles`."""

    counters: bool = True
    histograms: bool = False
    summaries: bool = False
    quantiles: tuple[float, ...] = QUANTILES
