from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from clockwork_triton.commands import bench
from clockwork_triton.commands.bench_arguments import parser
from tests.bench.server import Models, serve

QUICK = ("--seconds", "0.2", "--warmup-s", "0", "--connections", "2")


@pytest.fixture
def server() -> Iterator[tuple[str, Models]]:
    with serve() as started:
        yield started


def test_a_run_over_all_models(
    server: tuple[str, Models], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    address, models = server
    file, picture = tmp_path / "run.json", tmp_path / "run.png"
    argv = ["-u", address, "--rate", "200", "--slo-ms", "5000", "--slo-ms", "bad=7", *QUICK]
    assert bench.main([*argv, "--json", str(file), "--plot", str(picture)]) == 0
    found = json.loads(file.read_text())
    good, bad = (found["models"][name] for name in ("good", "bad"))
    assert good["sent"] == good["good"] > 0
    assert bad["sent"] == bad["refused"] > 0
    assert found["total"]["sent"] == len(models.requests)
    assert found["run"]["server"] == "fake 1.0"
    timeouts = {(r.model_name, r.parameters["timeout"].int64_param) for r in models.requests}
    assert timeouts == {("good", 5_000_000), ("bad", 7000)}
    assert picture.read_bytes().startswith(b"\x89PNG")
    output = capsys.readouterr().out
    assert "UNAVAILABLE: Request timeout expired" in output
    assert "after their time" in output


def test_a_closed_loop_is_the_default(server: tuple[str, Models], tmp_path: Path) -> None:
    file = tmp_path / "run.json"
    assert bench.main(["good", "-u", server[0], "--rows", "3", *QUICK, "--json", str(file)]) == 0
    found = json.loads(file.read_text())
    assert found["run"]["kind"] == "closed-loop"
    assert found["total"]["good"] > 0
    assert found["schedule"]["lag_ms"] == []
    assert {tuple(r.inputs[0].shape) for r in server[1].requests} == {(3, 4)}
    assert not any(r.parameters for r in server[1].requests)


def test_open_shapes_must_be_given(server: tuple[str, Models], capsys: pytest.CaptureFixture[str]) -> None:
    assert bench.main(["open", "-u", server[0], *QUICK]) == 1
    assert "--shape IN=1,2,3" in capsys.readouterr().err
    assert bench.main(["open", "-u", server[0], "--shape", "IN=2,4", *QUICK]) == 0
    assert {tuple(r.inputs[0].shape) for r in server[1].requests} == {(1, 2, 4)}


def test_a_server_that_lists_no_models(
    server: tuple[str, Models], capsys: pytest.CaptureFixture[str]
) -> None:
    server[1].lists = False
    assert bench.main(["-u", server[0], *QUICK]) == 1
    assert "name them" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["none"], "NOT_FOUND Request for unknown model: 'none'"),
        (["good", "--slo-ms", "other=5"], "other"),
        (["good", "--workload", "poisson"], "--rate"),
        (["good", "--input-data", "/none.json"], "none.json"),
    ],
)
def test_what_cannot_be_run(
    server: tuple[str, Models], capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    assert bench.main([*argv, "-u", server[0], *QUICK]) == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv", [["--rate", "0"], ["--slo-ms", "x"], ["--connections", "300"], ["--rows", "0"]]
)
def test_values_that_make_no_sense(argv: list[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(argv)
