from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.commands.convert import main
from clockwork_triton.worker.cuda import libcuda
from clockwork_triton.worker.cuda.driver import CudaError
from tests.converters import models
from tests.converters.models import FLOAT, model, node, saved


def convert(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_models_go_to_the_output_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = saved(models.sum_and_difference(), tmp_path, "simple.onnx")
    (tmp_path / "other").mkdir()
    proto = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["N", "t"])}, {"y": (FLOAT, ["N", "t"])})
    saved(proto, tmp_path / "other")
    common = ("--output", tmp_path / "out", "--artifact-cache", tmp_path / "cache")
    assert convert(first, *common, "--max-batch-size", 2) == 0
    assert convert(tmp_path / "other", *common, "--shape", "x=7") == 0
    assert Manifest.read(tmp_path / "out/simple").batch_sizes == (1, 2)
    other = Manifest.read(tmp_path / "out/other")
    assert other.batch_sizes == (1, 2, 4, 8, 16)
    assert other.inputs[0].shape == (7,)
    assert convert(first, *common, "--max-batch-size", 1) == 0
    assert Manifest.read(tmp_path / "out/simple").batch_sizes == (1,)
    assert "simple" in capsys.readouterr().out


def test_one_bad_model_fails_the_command_but_not_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = saved(models.sum_and_difference(), tmp_path, "good.onnx")
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"bad")
    common = ("--output", tmp_path / "out", "--artifact-cache", tmp_path / "cache")
    assert convert(bad, good, *common, "--max-batch-size", 1) == 1
    assert Manifest.read(tmp_path / "out/good").name == "good"
    assert "is not an ONNX file" in " ".join(capsys.readouterr().out.split())


def test_nothing_but_an_artifact_is_overwritten(tmp_path: Path) -> None:
    path = saved(models.sum_and_difference(), tmp_path, "simple.onnx")
    (tmp_path / "out/simple").mkdir(parents=True)
    (tmp_path / "out/simple/precious").touch()
    common = ("--output", tmp_path / "out", "--artifact-cache", tmp_path / "cache")
    assert convert(path, *common, "--max-batch-size", 1) == 1
    assert (tmp_path / "out/simple/precious").exists()


def test_a_repository_is_converted_as_configured(tmp_path: Path) -> None:
    for name, limit in (("one", 1), ("two", 2)):
        (tmp_path / "repository" / name / "1").mkdir(parents=True)
        saved(models.sum_and_difference(), tmp_path / "repository" / name / "1")
        (tmp_path / "repository" / name / "config.pbtxt").write_text(f"max_batch_size: {limit}")
    (tmp_path / "repository/notes").mkdir()
    common = ("--output", tmp_path / "out", "--artifact-cache", tmp_path / "cache")
    assert convert(tmp_path / "repository", *common) == 0
    assert Manifest.read(tmp_path / "out/one").batch_sizes == (1,)
    assert Manifest.read(tmp_path / "out/two").batch_sizes == (1, 2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["one", "two"]


def test_a_bad_configuration_is_an_error_of_its_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m/1").mkdir(parents=True)
    saved(models.sum_and_difference(), tmp_path / "m/1")
    (tmp_path / "m/config.pbtxt").write_text("nonsense")
    assert convert(tmp_path / "m", "--artifact-cache", tmp_path / "cache") == 1
    assert "failed to read text proto" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("option", ["--jobs=0", "--jobs=-1", "--threads=0", "--max-batch-size=-1"])
def test_numbers_out_of_bounds_are_refused(option: str, tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        convert(tmp_path, "--artifact-cache", tmp_path / "cache", option)
    assert ended.value.code == 2


def test_a_gpu_that_is_not_here_has_to_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_driver(ordinal: int) -> None:
        raise CudaError("there is no CUDA driver here")

    monkeypatch.setattr(libcuda, "facts", no_driver)
    path = saved(models.sum_and_difference(), tmp_path, "simple.onnx")
    assert convert(path, "--target", "cuda", "--artifact-cache", tmp_path / "cache") == 1
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for part in ("no CUDA driver here", "--arch sm_90"):
        assert part in said
