from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from clockwork_triton.artifact import Manifest, Profile
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.commands.profile import main
from tests.worker import tiny

KIND = "v100"


@pytest.fixture(autouse=True)
def _leave_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests of this process need TVM's compiler."""
    monkeypatch.setattr("clockwork_triton.commands.profile.prepare_environment", lambda: None)


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    directory = tiny.write(tmp_path / "tiny", None)
    tiny.write_profile(directory, KIND, 300_000, {1: 100_000, 2: 200_000})
    return directory


def run(tmp_path: Path, artifact: Path, *options: str) -> int:
    return main([str(artifact), "--artifact-cache", str(tmp_path / "cache"), "--runs", "5", *options])


def test_figures_are_printed_and_written(
    tmp_path: Path, artifact: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "figures.json"
    arguments = ("--device", f"emulated:{KIND}", "--batch-sizes", "2,1", "--json", str(path))
    assert run(tmp_path, artifact, *arguments) == 0
    document = json.loads(path.read_text())
    assert (document["model"], document["device"]) == ("tiny", KIND)
    assert document["load_ms"] >= 0.3
    assert list(document["batch"]) == ["1", "2"]
    for size, least in (("1", 0.1), ("2", 0.2)):
        times = document["batch"][size]
        assert list(times) == ["p50_ms", "p99_ms", "max_ms"]
        assert least <= times["p50_ms"] <= times["p99_ms"] <= times["max_ms"]
    printed = capsys.readouterr().out
    assert f"tiny on {KIND}" in printed
    assert "INFER, batch size 2" in printed
    profile = Profile.read(artifact, KIND)
    assert profile is not None
    assert profile.load.count == 1  # as it was: nothing is kept unasked


def test_the_profile_is_kept_when_asked(tmp_path: Path, artifact: Path) -> None:
    assert run(tmp_path, artifact, "--device", f"emulated:{KIND}", "--batch-sizes", "1", "--save") == 0
    profile = Profile.read(artifact, KIND)
    assert profile is not None
    assert profile.load.count == 5
    assert profile.infer.keys() == {1}


@pytest.mark.parametrize(("factor", "status"), [(1.0, 0), (1.01, 1)])
def test_what_the_converter_could_not_check_is_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], factor: float, status: int
) -> None:
    artifact = tiny.write(tmp_path / "tiny", tiny.compile_kernels(tmp_path / "kernels.so"))
    variants = Manifest.read(artifact).variants
    tiny.with_changes(artifact, variants={size: variants[size] for size in (1, 2)})
    row = np.float32([[1, -2, 3, 4]])
    Expectation((row,), (factor * tiny.expected(row),), (1e-3,), "onnxruntime").write(artifact)
    assert run(tmp_path, artifact, "--device", "cpu:0", "--save") == status
    said = " ".join(capsys.readouterr().err.split())
    if status:
        assert "the compiled model 'tiny' disagrees with onnxruntime: output 'y' differs by 9.9e-03" in said
        assert not list(artifact.glob("profile-*"))
    else:
        assert "computes what onnxruntime says: largest difference 0.0e+00" in said
        assert list(artifact.glob("profile-*"))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--device", "emulated:other"), "no profile for other"),
        (("--device", "tpu:0"), "no such device: tpu:0"),
        (("--batch-sizes", "1,3,8"), "the artifact has batch sizes 1, 2, 4, but not 3, 8"),
    ],
)
def test_a_failure_says_why(
    tmp_path: Path,
    artifact: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    options: tuple[str, ...],
    reason: str,
) -> None:
    assert run(tmp_path, artifact, *options) == 1
    assert reason in capsys.readouterr().err


@pytest.mark.parametrize("options", [("--batch-sizes", "0"), ("--batch-sizes", "a"), ("--runs", "0")])
def test_nonsense_is_refused(tmp_path: Path, artifact: Path, options: tuple[str, ...]) -> None:
    with pytest.raises(SystemExit) as status:
        run(tmp_path, artifact, *options)
    assert status.value.code == 2
