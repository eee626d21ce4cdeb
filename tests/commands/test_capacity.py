from __future__ import annotations

import json
from pathlib import Path

import pytest

from clockwork_triton.commands.capacity import main

EXPERIMENT = """
duration_s = 1
resident = true
[[models]]
name = "a"
profile = "resnet50_v2"
copies = 2
slo_ms = 50
[[workloads]]
rate = 900
"""


def test_it_says_what_a_traffic_needs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, written = tmp_path / "small.toml", tmp_path / "out.json"
    file.write_text(EXPERIMENT)
    assert main([str(file), "--attainment", "95", "--devices", "2", "--json", str(written)]) == 0
    found = json.loads(written.read_text())
    assert found["fewest_devices"] == 2
    assert 3.3 < found["lowest_slo_ms"] <= 50
    shown = capsys.readouterr().out
    assert "fewest devices for 95 % in time: 2" in shown
    assert "on 2 device(s)" in shown


def test_an_impossible_traffic_has_no_answer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "small.toml"
    file.write_text(
        EXPERIMENT.replace("slo_ms = 50", "slo_ms = 1").replace("duration_s = 1", "duration_s = 0.1")
    )
    assert main([str(file)]) == 1
    assert "fewest devices for 99 % in time: none" in capsys.readouterr().out


def test_several_experiments_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["slo"]) == 1
    assert "'slo' is several experiments" in capsys.readouterr().err
