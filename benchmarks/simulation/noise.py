"""Execution times that scatter, and that are off by a factor of ten now and then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.simulation.studies import Choices, noise

SECONDS = 60
LOSS = 0.05
SLOS = ("25 ms", "100 ms")


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
    results = {label: trials.run("adaptive", experiment) for label, experiment in study.runs}
    for label, each in results.items():
        table.add(
            label,
            each["offered_rps"],
            each["goodput_rps"],
            each["late"],
            each["late_without_outlier"],
            each["latency_ms"]["p99"],
        )
    for slo in SLOS:
        _judge(found, slo, {label: each for label, each in results.items() if label.startswith(slo)})
    found.notes.append(study.about)
    return found


def _judge(found: Report, slo: str, results: dict[str, dict[str, Any]]) -> None:
    losses = [
        1 - each["goodput_rps"] / results[label.replace("noisy", "exact")]["goodput_rps"]
        for label, each in results.items()
        if label.endswith("noisy")
    ]
    found.claim(
        f"{slo}: noise costs at most {LOSS:.0%} of the goodput",
        max(losses) <= LOSS,
        f"at most {max(losses):.1%}",
    )
    unexplained = sum(each["late_without_outlier"] for each in results.values())
    found.claim(
        f"{slo}: no answer is late but those of batches that an outlier hit",
        unexplained == 0,
        f"{unexplained} others",
    )
