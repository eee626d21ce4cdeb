"""The composed server on two GPUs, which are a fake driver library and an emulation: from ONNX to answers."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import tritonclient.grpc as grpcclient

from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.difference import difference
from tests.converters.models import saved, small_convnet
from tests.cuda.emulator import Emulator, needs_emulation, needs_nvcc
from tests.test_server import ServerProcess
from tests.worker.cuda.fake_library import build, needs_fake_library

TF32 = 2e-3
KIND = "cuda-fake-7"
"""Of the fake library's GPUs, for profiles."""


def _emulate(artifact: Path, folder: Path) -> None:
    """What FAKE_CUDA_KERNELS is to name: the artifact's kernels for a GPU that there is not."""
    emulator = Emulator((artifact / "kernels.cu").read_text(), folder)
    emulator.path.rename(folder / "kernels.so")
    launches = [launch for every in Manifest.read(artifact).launches.values() for launch in every]
    counts = {launch.function: len(launch.args) for launch in launches}
    lines = [f"{name} {count}\n" for name, count in counts.items()]
    (folder / "counts.txt").write_text("".join(lines))


@needs_nvcc
@needs_emulation
@needs_fake_library
def test_a_server_answers_from_two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = tmp_path / "repository" / "convnet" / "1"
    version.mkdir(parents=True)
    onnx = saved(small_convnet(), version)
    cache, kernels, log = tmp_path / "cache", tmp_path / "kernels", tmp_path / "actions.tsv"
    kernels.mkdir()
    convert = [sys.executable, "-m", "clockwork_triton.cli", "convert", str(tmp_path / "repository")]
    convert += ["--target", "cuda", "--arch", "sm_90", "--artifact-cache", str(cache)]
    convert += ["--output", str(tmp_path / "artifacts")]
    done = subprocess.run(convert, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    _emulate(tmp_path / "artifacts" / "convnet", kernels)
    monkeypatch.setenv("LD_LIBRARY_PATH", str(build(tmp_path).parent))
    monkeypatch.setenv("FAKE_CUDA_KERNELS", str(kernels))
    # The one that is converted above is the one that is found: the compiler is not there any more.
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("CUDA_HOME", str(tmp_path))
    flags = [f"--model-repository={version.parents[1]}", f"--artifact-cache={cache}", f"--action-log={log}"]
    server = ServerProcess(*flags)
    server.read_until("cuda:0 is NVIDIA Fake at 0000:00:00.0")
    server.read_until("cuda:1 is NVIDIA Fake at 0000:01:00.0")
    port = server.read_until(r"Started GRPCInferenceService at 127\.0\.0\.1:(\d+)")[1]
    server.read_until("'convnet' computes on cuda-fake-7 what onnxruntime says: largest difference")
    server.read_until('"Ready"')
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(7)
    with grpcclient.InferenceServerClient(f"127.0.0.1:{port}") as client:
        config = client.get_model_config("convnet", as_json=True)["config"]
        assert config["instance_group"][0]["kind"] == "KIND_GPU"
        assert config["instance_group"][0]["gpus"] == [0, 1]
        for rows in (1, 2, 3, 4) * 4:
            x = random.standard_normal((rows, 3, 12, 12)).astype(np.float32)
            tensor = grpcclient.InferInput("x", list(x.shape), "FP32")
            tensor.set_data_from_numpy(x)
            answer = client.infer("convnet", [tensor]).as_numpy("probabilities")
            (expected,) = session.run(None, {"x": x})
            assert 0 < difference(expected, answer) < TF32
    assert server.stop() == 0
    assert "Traceback" not in "".join(server.lines)
    with log.open() as file:
        infers = [row for row in csv.DictReader(file, delimiter="\t") if row["kind"] == "INFER"]
    assert {row["status"] for row in infers} == {"OK"}
    assert {row["worker_id"] for row in infers} <= {"0", "1"}


@needs_fake_library
@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        (
            ("FAKE_CUDA_VERSION", "12020"),
            "the driver has CUDA 12.2, and 12.4 is needed: a driver of 550 or later",
        ),
        (
            ("FAKE_CUDA_MAJORS", "97"),
            "NVIDIA Fake has compute capability 7.0, and models are compiled for 8.0",
        ),
    ],
    ids=["driver", "gpu"],
)
def test_a_gpu_that_is_asked_for_and_cannot_be_used_is_refused_at_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str], reason: str
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(build(tmp_path).parent))
    monkeypatch.setenv(*setting)
    server = ServerProcess(f"--model-repository={tmp_path}", "--device=cuda:1")
    assert server.end() == 1
    (line,) = server.lines
    assert f"cannot start: cuda:1 cannot be used: {reason}" in line


@needs_fake_library
def test_a_gpu_that_does_not_open_ends_the_server_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that no process may use, which tells what it is nevertheless. The other workers end too."""
    monkeypatch.setenv("LD_LIBRARY_PATH", str(build(tmp_path).parent))
    monkeypatch.setenv("FAKE_CUDA_FAILS", "cuDevicePrimaryCtxRetain")
    server = ServerProcess(f"--model-repository={tmp_path}", "--device=cpu:0,cuda:1,cpu:1")
    server.read_until("cannot open cuda:1: cuDevicePrimaryCtxRetain")
    server.read_until("cannot start: worker 1 ended at its start")
    assert server.end() == 1
    for trouble in ("Traceback", "never awaited", "roken pipe"):
        assert trouble not in "".join(server.lines)


@needs_fake_library
@pytest.mark.parametrize(
    ("setting", "notice", "devices"),
    [
        (("FAKE_CUDA_VERSION", "12020"), r"no GPU is used.* the driver has CUDA 12\.2, and 12\.4 is", set()),
        (("FAKE_CUDA_MAJORS", "79"), r"GPUs not used: cuda:0 \(NVIDIA Fake has compute cap", {"cuda:1"}),
    ],
    ids=["driver", "gpu"],
)
def test_a_server_that_may_choose_serves_on_what_can_be_used(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    setting: tuple[str, str],
    notice: str,
    devices: set[str],
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(build(tmp_path).parent))
    monkeypatch.setenv(*setting)
    (tmp_path / "repository").mkdir()
    server = ServerProcess(f"--model-repository={tmp_path / 'repository'}")
    server.read_until(notice)
    server.read_until('"Ready"')
    assert server.stop() == 0
    text = "".join(server.lines)
    assert {device for device in ("cuda:0", "cuda:1") if f"{device} is NVIDIA Fake" in text} == devices
    assert "Traceback" not in text
