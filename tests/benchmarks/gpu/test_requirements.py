from __future__ import annotations

import os
import subprocess
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest

from benchmarks.gpu import download, requirements

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_converted_needs_no_compiler() -> None:
    names = {requirements.name_of(each) for each in requirements.requirements()}
    assert {"grpcio", "ml-dtypes", "nvidia-ml-py", "pytest"} <= names
    assert not names & requirements.COMPILERS
    assert requirements.name_of("ml_dtypes>=0.5,<1") == "ml-dtypes"
    assert requirements.name_of("tritonclient[grpc]>=2.73,<3") == "tritonclient"


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert requirements.missing() == []

    def version(name: str) -> str:
        if name == "hpack":
            raise PackageNotFoundError
        return "1"

    monkeypatch.setattr(requirements, "version", version)
    assert requirements.missing() == ["hpack"]


def test_wheels_that_the_machine_has_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        asked.append(command)
        for name in ("numpy-2.5-cp312.whl", "ml_dtypes-0.5-cp312.whl", "hpack-4.2-py3.whl"):
            (tmp_path / name).touch()
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(download, "_perf_analyzer", lambda archive: "")
    assert download.download(tmp_path, ["numpy", "ML_dtypes", ""], "3.12") == 0
    assert [path.name for path in tmp_path.iterdir()] == ["hpack-4.2-py3.whl"]
    (command,) = asked
    assert command[command.index("--python-version") + 1] == "3.12"
    assert not any(part.startswith(("numpy", "ml_dtypes")) for part in command)
    assert any(part.startswith("grpcio>=") for part in command)


def test_perf_analyzer_is_not_fetched_where_it_was_said_to_be(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "perf-analyzer"
    environment = {**os.environ, "PERF_ANALYZER_HOME": str(tmp_path)}
    done = subprocess.run([script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == f"there is no perf_analyzer in {tmp_path}\n"
