"""A synthetic day in the format of Azure Functions' traces, at the rate of the paper's run."""

from __future__ import annotations

from pathlib import Path

from benchmarks.serving.report import Report
from benchmarks.simulation.trials import Trials
from clockwork_triton.simulation.plot import plot
from clockwork_triton.simulation.studies import Choices, azure

# Ten million requests at 9,638 a second.
SECONDS = 1_050
POLICIES = ("adaptive", "clockwork")


def run(trials: Trials, pictures: Path) -> Report:
    study = azure(Choices(duration_ns=trials.duration_ns(SECONDS)))
    ((_, experiment),) = study.runs
    found = Report("azure", "Azure's functions: 4,026 models, 6 devices, 100 ms")
    results = {policy: trials.run(policy, experiment) for policy in POLICIES}
    table = found.table(
        "",
        *(
            "policy",
            "offered",
            "offered r/s",
            "goodput r/s",
            "in time of all",
            "late",
            "p99 ms",
            "LOADs/s",
            "us/request",
        ),
    )
    for policy, each in results.items():
        table.add(
            policy,
            each["offered"],
            each["offered_rps"],
            each["goodput_rps"],
            f"{each['attainment']:.2%}",
            each["late"],
            each["latency_ms"].get("p99", 0.0),
            each["loads"] / each["duration_s"],
            each["controller_us_per_request"],
        )
    adaptive, clockwork = (results[policy] for policy in POLICIES)
    found.claim(
        "At least ten million requests", adaptive["offered"] >= 10_000_000, f"{adaptive['offered']:,}"
    )
    answered = round(adaptive["goodput_rps"] * adaptive["duration_s"]) + adaptive["late"]
    found.claim(
        "At least 0.999999 of the answers are in time",
        adaptive["in_time_of_answered"] >= 0.999999,
        f"{adaptive['late']} late of {answered:,}",
    )
    found.claim(
        "At least as many are answered as by `clockwork`",
        adaptive["goodput_rps"] >= clockwork["goodput_rps"],
        f"{adaptive['goodput_rps']:.0f} against {clockwork['goodput_rps']:.0f} r/s",
    )
    picture = pictures / "azure.png"
    plot(study.name, study.axis, [{"label": "", **each} for each in results.values()], picture)
    found.pictures.append(picture)
    found.notes.append(
        study.about + " All published profiles in turn; Shepherd's models need longer for an image than"
        " Clockwork's, so that this load is more than six devices can do."
    )
    return found
