"""3,600 models that no device can hold share one with a model that is asked for all the time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.simulation.plot import plot
from clockwork_triton.simulation.studies import Choices, thousands

SECONDS = 600
# Between a refusal's becoming certain and its being said.
PROMPT_NS = 1_000_000


def run(trials: Trials, pictures: Path) -> Report:
    study = thousands(Choices(duration_ns=trials.duration_ns(SECONDS)))
    ((_, experiment),) = study.runs
    found = Report("thousands", "3,600 models on one device that holds 196 of them")
    results = {policy: trials.run(policy, experiment) for policy in ("adaptive", "clockwork")}
    table = found.table(
        "",
        *("policy", "offered r/s", "goodput r/s", "minor model in time", "late", "LOADs/s", "device busy"),
    )
    for policy, each in results.items():
        table.add(
            policy,
            each["offered_rps"],
            each["goodput_rps"],
            f"{each['groups']['minor']['attainment']:.4%}",
            each["late"],
            each["loads"] / each["duration_s"],
            f"{each['device_busy']['infer']:.0%}",
        )
    _judge(found, results["adaptive"], results["clockwork"])
    picture = pictures / "thousands.png"
    plot(study.name, study.axis, [{"label": "", **each} for each in results.values()], picture)
    found.pictures.append(picture)
    found.notes.append(study.about)
    return found


def _judge(found: Report, adaptive: dict[str, Any], clockwork: dict[str, Any]) -> None:
    found.claim(
        "More goodput than `clockwork`",
        adaptive["goodput_rps"] > clockwork["goodput_rps"],
        f"{adaptive['goodput_rps']:.0f} against {clockwork['goodput_rps']:.0f} r/s",
    )
    found.claim(
        "At least 99.99 % of what is not refused is in time",
        adaptive["in_time_of_answered"] >= 0.9999,
        f"{adaptive['in_time_of_answered']:.6%}, {adaptive['late']} late",
    )
    minor = adaptive["groups"]["minor"]["attainment"]
    found.claim("At least 99.9 % of the minor model's are in time", minor >= 0.999, f"{minor:.4%}")
