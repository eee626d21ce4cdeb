from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.commands.convert import add_arguments, locate, parse_shape, run
from tests.converters import models
from tests.converters.models import FLOAT, model, node, saved


def convert(*arguments: object) -> int:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return run(parser.parse_args([str(argument) for argument in arguments]))


def test_models_go_to_the_output_directory(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = saved(models.sum_and_difference(), tmp_path, "simple.onnx")
    (tmp_path / "other/3").mkdir(parents=True)
    proto = model([node("Relu", ["x"], ["y"])], {"x": (FLOAT, ["N", "t"])}, {"y": (FLOAT, ["N", "t"])})
    saved(proto, tmp_path / "other/3")
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


def test_the_greatest_version_of_a_directory_is_meant(tmp_path: Path) -> None:
    for version in ("2", "10"):
        (tmp_path / "m" / version).mkdir(parents=True)
        (tmp_path / "m" / version / "model.onnx").touch()
    assert locate(tmp_path / "m") == ("m", tmp_path / "m/10/model.onnx")
    (tmp_path / "m/model.onnx").touch()
    assert locate(tmp_path / "m") == ("m", tmp_path / "m/model.onnx")


def test_shapes_on_the_command_line() -> None:
    assert parse_shape("x=1,2,3") == ("x", (1, 2, 3))
    assert parse_shape("a=b=4") == ("a=b", (4,))
    assert parse_shape("scalar=") == ("scalar", ())
    for text in ("x", "=1", "x=a", "x=0", "x=-1"):
        with pytest.raises(argparse.ArgumentTypeError):
            parse_shape(text)
