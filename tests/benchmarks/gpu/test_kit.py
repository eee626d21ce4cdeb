from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

from benchmarks.gpu import coarse, kernels, kit
from benchmarks.gpu.__main__ import main
from clockwork_triton.artifact import Manifest
from converters.inspect import inspect
from tests.benchmarks.gpu.prepared import prepared
from tests.converters import models
from tests.converters.models import small_convnet
from tests.cuda.emulator import needs_nvcc


def test_a_kit_has_what_a_check_and_a_server_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = prepared(tmp_path, monkeypatch, sizes=(1, 2, 4))
    manifest = Manifest.read(found.model.artifact)
    assert manifest.batch_sizes == (1, 2, 4)
    assert manifest.origin["tvm"]
    signature = inspect(found.model.folder / "signature.onnx")
    assert [tensor.name for tensor in signature.inputs] == [tensor.name for tensor in manifest.inputs]
    assert sorted(path.name for path in found.model.artifact.iterdir()) == [
        "expectation.npz",
        "kernels.cubin",
        "manifest.json",
        "weights.bin.xz",
    ]
    assert sorted(path.name for path in (found.model.folder / kernels.FOLDER).iterdir()) == [
        *("add.cubin", "faulty.cubin")
    ]


@needs_nvcc
def test_the_kernels_of_tests_are_device_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest = Manifest.read(prepared(tmp_path, monkeypatch).model.artifact)
    monkeypatch.undo()
    kernels.write(tmp_path, manifest)
    code = (tmp_path / kernels.FOLDER / kernels.FAULTY).read_bytes()
    names = {launch.function for launches in manifest.launches.values() for launch in launches}
    assert all(name.encode() in code for name in names)
    assert b"add" in (tmp_path / kernels.FOLDER / kernels.ADD).read_bytes()


def test_a_kit_can_be_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(tmp_path, monkeypatch, weights=False)
    prepared(tmp_path, monkeypatch)
    (model,) = kit.read(tmp_path)
    assert model.weights
    assert [path.name for path in tmp_path.iterdir()] == ["resnet50-tf32"]


def test_weights_that_were_left_out_are_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(tmp_path, monkeypatch, weights=False)
    (model,) = kit.read(tmp_path)
    model.unpack()
    values = np.frombuffer((model.artifact / "weights.bin").read_bytes(), np.float32)
    assert values.size
    assert 0.01 < values.std() < 0.03


def test_weights_of_few_values_are_still_a_network_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coarse, "SMALLEST", 1)
    monkeypatch.setattr(coarse, "settle", lambda network, powers_of_two: None)
    network = small_convnet()
    before = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in network.graph.initializer}
    coarse.coarsen(network)
    for tensor in network.graph.initializer:
        values = onnx.numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.ndim >= 2:
            assert len(np.unique(values)) < 32
            assert np.abs(values - before[tensor.name]).max() <= before[tensor.name].std() / 2


def test_a_folder_that_is_no_kit_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(tmp_path)]) == 2
    assert "is no kit: it has no */kit.json" in capsys.readouterr().err
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "kit.json").write_text("{}")
    assert main(["run", str(tmp_path)]) == 2
    assert "prepare it anew" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--models", "nosuch"], "no such model: nosuch (there are alexnet,"),
        (["--without-weights", "nosuch"], "no such model: nosuch"),
        (["--precisions", "fp8"], "no such precision: fp8 (there are tf32, fp32, fp16)"),
        (["--checked", "3"], "no such batch size to be checked: 3"),
        (["--sizes", "few"], "'few' is not of the form 1,16"),
    ],
)
def test_what_cannot_be_prepared_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str], said: str
) -> None:
    assert main(["prepare", str(tmp_path / "kit"), "--arch", "sm_90", *flags]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "kit").exists()


def test_what_is_added_to_a_shortcut_counts_for_a_quarter(monkeypatch: pytest.MonkeyPatch) -> None:
    settled: list[bool] = []
    monkeypatch.setattr(coarse, "settle", lambda network, powers_of_two: settled.append(powers_of_two))
    network = models.model(
        [
            models.node("BatchNormalization", ["x", "scale", "b", "m", "v"], ["branch"]),
            models.node("Add", ["branch", "x"], ["sum"]),
            models.node("BatchNormalization", ["sum", "other", "b", "m", "v"], ["y"]),
        ],
        {"x": (models.FLOAT, ["N", 4, 2, 2])},
        {"y": (models.FLOAT, ["N", 4, 2, 2])},
        {name: np.ones(4, np.float32) for name in ("scale", "other", "b", "m", "v")},
    )
    coarse.coarsen(network)
    scales = {t.name: onnx.numpy_helper.to_array(t).tolist() for t in network.graph.initializer}
    assert scales["scale"] == [0.25] * 4
    assert scales["other"] == [1] * 4
    assert settled == [True]
