"""The check as it is run: on two GPUs that are a fake driver library and an emulation."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import check, kit
from benchmarks.gpu.results import KINDS, Failure, Machine, Record, to_line
from benchmarks.gpu.tasks import OWN_SHARE, Plan, Task, share
from tests.benchmarks.gpu.prepared import prepared
from tests.cuda.emulator import needs_emulation
from tests.worker.cuda.fake_library import build, needs_fake_library

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts" / "check-gpu"
KEY = "resnet50 tf32"
QUICK = "tests/benchmarks/gpu/test_report.py"
# Asks the server some times, and reports as perf_analyzer does.
ASKER = f"""#!{sys.executable}
import json, sys, time
if "--version" in sys.argv: sys.exit()
import numpy as np
import tritonclient.grpc as grpcclient
flags = dict(zip(sys.argv[1:], sys.argv[2:]))
row = json.load(open(flags["--input-data"]))["data"][0]["x"]
tensor = grpcclient.InferInput("x", [1, *row["shape"]], "FP32")
tensor.set_data_from_numpy(np.asarray(row["content"], np.float32).reshape(1, *row["shape"]))
with grpcclient.InferenceServerClient(flags["-u"]) as client:
    for _ in range(5):
        client.infer(flags["-m"], [tensor])
with open(flags["-f"], "w") as file:
    file.write("Concurrency,Inferences/Second,p50 latency,p99 latency\\n1,100,500,600\\n")
"""


def _run(*flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPT), *flags]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PYTHON": sys.executable, **environment}
    )


@needs_emulation
@needs_fake_library
def test_a_check_from_the_kit_to_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels, home, none = tmp_path / "kernels", tmp_path / "perf-analyzer", tmp_path / "none"
    for folder in (kernels, home, none):
        folder.mkdir()
    prepared(tmp_path / "kit", monkeypatch).emulate(kernels)
    (home / "perf_analyzer").write_text(ASKER)
    (home / "perf_analyzer").chmod(0o755)
    # Neither TVM nor PyTorch is run, though both may be there.
    for name in ("tvm", "tvm_ffi", "torch"):
        (none / f"{name}.py").write_text("raise ModuleNotFoundError('it is not to be used here')\n")
    done = _run(
        *("--kit", str(tmp_path / "kit"), "--output", str(tmp_path / "out")),
        *("--", "--runs", "5", "--tests", QUICK),
        LD_LIBRARY_PATH=str(build(tmp_path).parent),
        FAKE_CUDA_KERNELS=str(kernels),
        PERF_ANALYZER_HOME=str(home),
        PYTHONPATH=str(none),
        PATH="/usr/bin:/bin",
    )
    report: dict[str, Any] = json.loads((tmp_path / "out" / "gpu-report.json").read_text())
    found = {verdict["target"]: (verdict["state"], verdict["found"]) for verdict in report["verdicts"]}
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not list((tmp_path / "kit").rglob("weights.bin"))
    for batch in (1, 2):
        what = f"{KEY}, batch {batch}"
        assert found[f"{what}: right"][0] == "met"
        assert found[f"{what}: at least 20000 runs"] == ("missed", "5 runs")
        torch = found[f"{what}: at most 1.5 times PyTorch's best"]
        assert torch[0] == "not measured"
        assert "it is not to be used here" in torch[1]
    assert found[f"{KEY}: serving overhead at most 1 ms at the median"][0] in ("met", "missed")
    assert found["the tests that need a GPU pass"][0] == "met"
    kinds = {record["record"] for record in report["records"]}
    assert kinds == set(KINDS) - {"Torch"}
    failures = {record["what"] for record in report["records"] if record["record"] == "Failure"}
    assert failures == {"PyTorch"}
    assert list(report["seconds"]) == [
        *("machine", f"unpack {KEY}", f"infer {KEY}", f"load {KEY}", "PyTorch", "serving", "tests"),
        *(f"busy {KEY}", f"register {KEY}", f"plain {KEY}"),
    ]


def test_without_a_gpu_there_is_nothing_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared(tmp_path / "kit", monkeypatch, weights=False)
    flags = ("--kit", str(tmp_path / "kit"), "--output", str(tmp_path / "out"))
    done = _run(*flags, CUDA_VISIBLE_DEVICES="", PATH=os.environ["PATH"])
    assert done.returncode == 1
    # There is no driver, or one that is shown no GPU.
    reasons = ("there is no", "cuInit: ")
    assert done.stderr.startswith(tuple(f"there is nothing to check: {reason}" for reason in reasons))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--kit",), "--kit needs a folder"),
        (("--output",), "--output needs a folder"),
        (("--wheels", "nowhere"), "--wheels: there is no folder nowhere"),
        (("--wheels", "EMPTY"), "has no wheels; --download"),
        (("--kit", "EMPTY"), "is no kit: it has no */kit.json"),
        (("--what",), "unknown argument: --what"),
        ((), "--arch names what to prepare for"),
    ],
)
def test_what_is_wrong_with_the_command_is_said(tmp_path: Path, flags: tuple[str, ...], said: str) -> None:
    flags = tuple(flag.replace("EMPTY", str(tmp_path)) for flag in flags)
    done = _run(*flags, CUDA_VISIBLE_DEVICES="", PATH=os.environ["PATH"])
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_without_packages_is_told_which(tmp_path: Path) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    done = _run("--kit", str(tmp_path), PYTHON=str(bare), PATH=os.environ["PATH"])
    assert done.returncode == 2
    assert "has no numpy, protobuf. Where there is the internet, `scripts/check-gpu --download" in done.stderr
    assert "Traceback" not in done.stderr


def _task(kind: str, tmp_path: Path) -> Task:
    return Plan(tmp_path, 0, 1, (), ()).task(kind, "m")


def _program(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """Runs in place of a step; `file` is where records go."""
    start = subprocess.Popen

    def instead(command: list[str], **options: Any) -> subprocess.Popen[bytes]:
        return start([sys.executable, "-c", f"file = {command[4]!r}\n{text}"], **options)

    monkeypatch.setattr(subprocess, "Popen", instead)


RECORD = to_line(Failure("infer m 1", "first"))


def test_what_was_measured_before_a_fault_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(
        monkeypatch,
        f"import os, signal; open(file, 'w').write({RECORD + RECORD[:-9]!r}); print('a fault', flush=True);"
        "os.kill(os.getpid(), signal.SIGSEGV)",
    )
    first, fault = check.run(_task("infer", tmp_path), 60.0)
    assert first == Failure("infer m 1", "first")
    assert fault == Failure("infer m", "its process ended with SIGSEGV: a fault")


def test_a_step_that_hangs_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _program(monkeypatch, "import signal; signal.pause()")
    monkeypatch.setattr(check, "LEAST_S", 0.1)
    assert check.run(_task("load", tmp_path), 0.1) == [Failure("load m", "it was not done within 0 s")]
    assert check.run(_task("load", tmp_path), 0.05) == [Failure("load m", "there was no time left")]


def test_a_check_needs_to_know_that_there_is_a_gpu_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Record] = [Machine({"GPU": "fake"}), Failure("machine", "it was not done within 9 s")]
    monkeypatch.setattr(check, "run", lambda task, limit_s: found)
    plan = Plan(tmp_path, 0, 1, (), ())
    report = check.check(plan, [], tmp_path / "out", 60.0)
    assert list(report.seconds) == [task.name for task, _ in plan.steps([])]
    del found[0]
    with pytest.raises(check.NothingToCheck, match="not done within 9 s"):
        check.check(plan, [], tmp_path / "out", 60.0)


def test_time_is_shared_by_what_is_still_to_come() -> None:
    assert share([150.0, 50.0], 570.0) == 150.0
    assert share([150.0, 50.0], 100.0) == 75.0
    assert share([150.0, 50.0], -1.0) == 0.0


def test_the_steps_share_the_deadline_and_the_infers_of_the_targets_have_time(tmp_path: Path) -> None:
    models = [kit.Model(name, "tf32", (1, 16), True, tmp_path) for name in ("resnet50", "bert")]
    steps = Plan(tmp_path, 0, 1, (), ()).steps(models)
    left, limits = 570.0, {}
    for number, (task, _) in enumerate(steps):
        limits[task.name] = share([most for _, most in steps[number:]], left)
        left -= limits[task.name]
    assert left > -1e-6
    # Twenty thousand INFERs of one image and of sixteen, of a quarter and four and a half milliseconds.
    assert OWN_SHARE * limits[f"infer {KEY}"] > 20_000 * 4.75e-3
    assert all(limit > 10 for limit in limits.values())


def test_the_model_of_the_targets_comes_first(tmp_path: Path) -> None:
    models = [kit.Model(name, "tf32", (1,), True, tmp_path) for name in ("resnet50", "bert")]
    names = [task.name for task, _ in Plan(tmp_path, 0, 1, (), ()).steps(models)]
    assert names[:5] == [
        "machine",
        "unpack resnet50 tf32",
        "unpack bert tf32",
        f"infer {KEY}",
        "infer bert tf32",
    ]
    assert names[-2:] == ["plain resnet50 tf32", "plain bert tf32"]
    task = _task("infer", tmp_path)
    assert Task.from_json(task.to_json()) == task


def test_checking_a_gpu_takes_neither_the_compiler_nor_its_runtime() -> None:
    program = (
        "import sys; sys.modules.update(dict.fromkeys(('tvm', 'tvm_ffi', 'onnx', 'onnxruntime', 'grpc')));"
        "import benchmarks.gpu.__main__, benchmarks.gpu.check, benchmarks.gpu.step"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
