"""How often a model without a profile is run to measure it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from clockwork_triton.controller.specs import Estimate

# The first glance only has to tell microseconds from seconds.
GLANCE_RUNS = 2
LOADS = 5
BUDGET_NS = 300_000_000
MIN_RUNS = 5
MAX_RUNS = 200


def rough_estimate(batch_sizes: Sequence[int], weight_bytes: int) -> Estimate:
    """Before anything ran: 1 GB/s for the LOAD, and 10 ms a row."""
    return Estimate(1_000_000 + weight_bytes, {size: 10_000_000 * size for size in batch_sizes})


def glance_estimate(load_ns: Sequence[int], infer_ns: Mapping[int, Sequence[int]]) -> Estimate:
    return Estimate(max(load_ns), {size: min(times) for size, times in infer_ns.items()})


def runs_for(estimate: Estimate) -> dict[int, int]:
    """As many runs of each batch size as fit a fixed budget of time, within bounds."""
    return {
        size: max(MIN_RUNS, min(MAX_RUNS, BUDGET_NS // max(1, duration)))
        for size, duration in estimate.infer_ns.items()
    }
