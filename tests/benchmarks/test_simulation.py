from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.serving.report import Report
from benchmarks.simulation import load, thousands
from benchmarks.simulation.__main__ import CHECKS, write
from benchmarks.simulation.trials import Trials


def test_a_run_that_was_kept_is_not_run_again(tmp_path: Path) -> None:
    trials = Trials(0.02, tmp_path)
    first = trials.run("adaptive", load.experiment(500, trials.duration_ns(10)))
    assert trials.run("adaptive", load.experiment(500, trials.duration_ns(10))) == first
    assert len(list(tmp_path.iterdir())) == 1
    trials.run("adaptive", load.experiment(600, trials.duration_ns(10)))
    trials.run("triton", load.experiment(500, trials.duration_ns(10)))
    assert len(list(tmp_path.iterdir())) == 3


def test_a_check_makes_tables_claims_and_pictures(tmp_path: Path) -> None:
    found = thousands.run(Trials(0.003), tmp_path)
    assert len(found.tables[0].rows) == 2
    assert len(found.claims) == 3
    assert found.pictures[0].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("check", CHECKS)
def test_every_check_has_a_sentence(check: str) -> None:
    assert CHECKS[check].__doc__


def test_the_page_holds_every_report(tmp_path: Path) -> None:
    report = Report("x", "The title")
    report.claim("It is so", True, "seen")
    write([report], tmp_path)
    assert "## The title" in (tmp_path / "simulation.md").read_text()
    assert '"It is so"' in (tmp_path / "simulation.json").read_text()
