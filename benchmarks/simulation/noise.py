"""Execution times that scatter, and that are off by a factor of ten now and then."""

from __future__ import annotations

from pathlib import Path

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.simulation.studies import Choices, noise

SECONDS = 60
LOSS = 0.05


def run(trials: Trials, pictures: Path) -> Report:
    study = noise(Choices(duration_ns=trials.duration_ns(SECONDS)))
    found = Report("noise", "Execution times with noise and outliers")
    table = found.table(
        "`adaptive`",
        study.axis,
        "offered r/s",
        "goodput r/s",
        "late",
        "late, and not beside an outlier",
        "p99 ms",
    )
    goodput: dict[str, float] = {}
    unexplained = 0
    for label, experiment in study.runs:
        each = trials.run("adaptive", experiment)
        goodput[label] = each["goodput_rps"]
        unexplained += each["late_without_outlier"]
        table.add(
            label,
            each["offered_rps"],
            each["goodput_rps"],
            each["late"],
            each["late_without_outlier"],
            each["latency_ms"]["p99"],
        )
    losses = {
        label: 1 - goodput[label] / goodput[label.replace("noisy", "exact")]
        for label in goodput
        if label.endswith("noisy")
    }
    worst = max(losses.items(), key=lambda item: item[1])
    found.claim(
        f"Noise costs at most {LOSS:.0%} of the goodput",
        worst[1] <= LOSS,
        f"at most {worst[1]:.1%} ({worst[0]})",
    )
    found.claim(
        "No answer is late but those of batches that an outlier hit",
        unexplained == 0,
        f"{unexplained} others",
    )
    found.notes.append(study.about)
    return found
