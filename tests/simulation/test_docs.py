"""docs/simulation.md says what the report holds, and its example runs."""

from __future__ import annotations

import re
from pathlib import Path

from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.simulation.experiment import Runner
from clockwork_triton.simulation.experiment_file import read_experiment
from clockwork_triton.simulation.report import report
from clockwork_triton.simulation.studies import STUDIES
from clockwork_triton.simulation.workload_file import KINDS

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "simulation.md").read_text()


def named(rows: str) -> set[str]:
    """The names in the first column of a table."""
    return {
        name
        for row in re.findall(r"^\| (`.*?) \|", rows, re.MULTILINE)
        for name in re.findall(r"`([^`]+)`", row)
    }


def test_every_field_of_the_report_is_described() -> None:
    section = PAGE.partition("## The report")[2]
    found = report(Runner("adaptive").run(read_experiment(DOCS / "examples" / "two-models.toml")))
    assert named(section) == {"label", *found}
    for nested in ("latency_ms", "device_busy", "prediction_error_ms", "series"):
        inner = found[nested][0] if nested == "series" else found[nested]
        for key in inner:
            assert f"`{key}`" in section


def test_every_experiment_policy_and_workload_is_named() -> None:
    assert named(PAGE.partition("## Experiments")[2].partition("##")[0]) == set(STUDIES)
    assert named(PAGE.partition("## Policies")[2].partition("## ")[0]) - {"--policy"} == set(POLICIES)
    assert all(f"`{kind}`" in PAGE for kind in KINDS)


def test_the_example_is_mostly_met() -> None:
    run = report(Runner("adaptive").run(read_experiment(DOCS / "examples" / "two-models.toml")))
    assert run["groups"]["small"]["attainment"] > 0.97
    assert 0.5 < run["groups"]["large"]["attainment"] < 1
