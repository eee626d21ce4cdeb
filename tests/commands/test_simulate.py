from __future__ import annotations

import json
from pathlib import Path

import pytest

from clockwork_triton.commands.simulate import main
from clockwork_triton.simulation.studies import STUDIES, Choices

EXPERIMENT = """
about = "two models"
[[models]]
name = "a"
profile = "resnet50_v2"
copies = 2
slo_ms = 50
[[workloads]]
rate = 150
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(EXPERIMENT)
    return path


def test_a_file_is_run_under_each_policy(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, drawn = tmp_path / "out.json", tmp_path / "out.png"
    pytest.importorskip("matplotlib")
    arguments = [str(file), "--policy", "adaptive,triton", "--duration", "2", "--devices", "2", "--seed", "5"]
    assert main([*arguments, "--json", str(written), "--plot", str(drawn)]) == 0
    shown = capsys.readouterr().out
    assert "adaptive" in shown
    assert "two models" in shown
    document = json.loads(written.read_text())
    assert (document["study"], document["about"]) == ("small", "two models")
    assert [run["policy"] for run in document["runs"]] == ["adaptive", "triton"]
    for run in document["runs"]:
        assert (run["devices"], run["seed"], run["duration_s"]) == (2, 5, 2.0)
        assert run["offered"] == pytest.approx(300, rel=0.3)
    assert drawn.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", STUDIES)
def test_every_experiment_of_the_paper_runs(name: str, tmp_path: Path) -> None:
    """The shortest that still has requests in each run."""
    written = tmp_path / "out.json"
    seconds = {"azure": "0.2", "scale": "0.05", "thousands": "1", "noise": "2.3"}.get(name, "0.3")
    assert main([name, "--policy", "adaptive", "--duration", seconds, "--json", str(written)]) == 0
    runs = json.loads(written.read_text())["runs"]
    assert len(runs) == len(STUDIES[name](Choices()).runs)
    for run in runs:
        assert run["offered"] > 0
        assert run["late"] == 0 or name in ("noise", "isolation")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["nonsense"], "'nonsense' is none of slo,"),
        (["none.toml"], r"none.toml"),
        (["--replay", "requests.tsv"], "--replay needs --actions"),
        (["noise", "--duration", "1"], "must last longer than its 2 s"),
        (["azure", "--trace", "none.csv"], "none.csv"),
    ],
)
def test_mistakes_are_said(arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 1
    assert complaint in capsys.readouterr().err


def test_an_unknown_policy_is_a_usage_error(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(file), "--policy", "best"])
    assert ended.value.code == 2
    assert "'best' is not one of adaptive" in capsys.readouterr().err
