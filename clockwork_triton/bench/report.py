"""A summary for people and for programs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from rich.table import Table

from clockwork_triton.bench.ledger import Outcome
from clockwork_triton.bench.summary import PERCENTILES, Figures, Summary

HEADINGS = ("sent/s", "good/s", "late", "refused", "failed", "lost")


def table(names: Sequence[str], summary: Summary) -> Table:
    """A row a model, and one for all of them where there are several."""
    found = Table()
    for heading in ("model", *HEADINGS, *_percentiles()):
        found.add_column(heading, justify="left" if heading == "model" else "right")
    for name, figures in zip(names, summary.models, strict=True):
        found.add_row(name, *_cells(figures))
    if len(names) > 1:
        found.add_section()
        found.add_row("all", *_cells(summary.total))
    return found


def remarks(summary: Summary) -> list[str]:
    """What the table does not say."""
    lines = []
    lag = summary.schedule.lag_ms
    if lag:
        median, worst = lag[0], lag[-1]
        p99 = lag[PERCENTILES.index(99)]
        lines.append(
            f"The client sent its requests {median:.2f} ms (p50), {p99:.2f} ms (p99) and at worst"
            f" {worst:.2f} ms after their time, and used {summary.schedule.cpu:.0%} of a core."
        )
    if summary.total.counts[Outcome.REFUSED]:
        p50, p99 = (summary.total.refusals_ms[PERCENTILES.index(n)] for n in (50, 99))
        lines.append(f"Refusals took {p50:.2f} ms (p50) and {p99:.2f} ms (p99).")
    lines += [f"{count:,} x {words}" for words, count in summary.words[:5]]
    if summary.schedule.complaint:
        lines.append(summary.schedule.complaint)
    return lines


def document(run: Mapping[str, Any], names: Sequence[str], summary: Summary) -> dict[str, Any]:
    """For JSON. `run`: how it was made."""
    schedule = summary.schedule
    return {
        "run": dict(run),
        "schedule": {
            "kept": schedule.kept,
            "complaint": schedule.complaint,
            "late_share": schedule.late_share,
            "lag_ms": list(schedule.lag_ms),
            "client_cpu": schedule.cpu,
        },
        "total": summary.total.document(),
        "models": {name: figures.document() for name, figures in zip(names, summary.models, strict=True)},
        "words": dict(summary.words),
        "seconds": [
            asdict(second) | {"p99_ms": None if math.isnan(second.p99_ms) else second.p99_ms}
            for second in summary.seconds
        ],
    }


def _percentiles() -> list[str]:
    return [f"p{percent:g} ms" if percent < 100 else "max ms" for percent in PERCENTILES]


def _cells(figures: Figures) -> list[str]:
    counts = figures.counts
    return [
        f"{figures.offered:,.1f}",
        f"{figures.goodput:,.1f}",
        *(
            f"{counts[outcome]:,}"
            for outcome in (Outcome.LATE, Outcome.REFUSED, Outcome.FAILED, Outcome.LOST)
        ),
        *("-" if math.isnan(value) else f"{value:,.2f}" for value in figures.latencies_ms),
    ]
