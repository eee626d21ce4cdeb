"""How tight an SLO may be: `how-low` and `isolation`, in which it is raised step by step."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.simulation.plot import RAMPS, lowest_multiple, plot
from clockwork_triton.simulation.studies import Choices, Study, how_low, isolation

SECONDS = 100
PERCENT = 99.0
POLICIES = ("adaptive", "clockwork")


def run(trials: Trials, pictures: Path) -> Report:
    found = Report("ramps", "How low, and how well isolated: the SLO from one execution time upwards")
    choices = Choices(duration_ns=trials.duration_ns(SECONDS))
    for study in (how_low(choices), isolation(choices)):
        results = [
            {"label": label, **trials.run(policy, experiment)}
            for label, experiment in study.runs
            for policy in POLICIES
        ]
        _tabulate(found, study, results)
        picture = pictures / f"{study.name}.png"
        plot(study.name, study.axis, results, picture)
        found.pictures.append(picture)
        found.notes.append(f"`{study.name}`: {study.about}")
    return found


def _tabulate(found: Report, study: Study, results: Sequence[dict[str, Any]]) -> None:
    table = found.table(
        f"`{study.name}`: the lowest SLO, in times of 2.9 ms, from which on {PERCENT:g} % are in time",
        study.axis,
        *POLICIES,
        *(f"answers r/s without a deadline, {policy}" for policy in POLICIES if study.name == "isolation"),
    )
    lowest: dict[tuple[str, str], float] = {}
    for label, _ in study.runs:
        mine = {result["policy"]: result for result in results if result["label"] == label}
        cells: list[str | float] = []
        for policy in POLICIES:
            multiple = lowest_multiple(mine[policy], RAMPS[study.name], PERCENT)
            lowest[label, policy] = multiple or float("inf")
            cells.append(f"{multiple:.1f}" if multiple else "none")
        if study.name == "isolation":
            cells += [_patient_rps(mine[policy]) for policy in POLICIES]
        table.add(label, *cells)
    found.claim(
        f"`{study.name}`: `adaptive` meets an SLO as low as `clockwork` does, or lower",
        all(lowest[label, "adaptive"] <= lowest[label, "clockwork"] for label, _ in study.runs),
    )


def _patient_rps(result: dict[str, Any]) -> float:
    """What those without a deadline got."""
    batch = result["groups"].get("batch")
    return float(batch["goodput_rps"]) if batch else 0.0
