"""The check of a GPU, dry: a prepared model on a fake driver and an emulated GPU."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gpu import kit
from benchmarks.gpu.measure import LOADS, ModelResult, Times, measure
from benchmarks.gpu.report import Report, torch_key
from clockwork_triton.worker.cuda.driver import Driver
from converters import device_code
from tests.converters.models import small_convnet
from tests.cuda.emulator import Emulator, needs_emulation
from tests.worker.cuda.fake_driver import Clock, FakeDriver, Kernel

ROOT = Path(__file__).resolve().parents[2]
RUNS = 30


def _kernels(emulator: Emulator, launches: Any) -> dict[str, Kernel]:
    found: dict[str, Kernel] = {}
    for every in launches.values():
        for launch in every:
            found[launch.function] = lambda addresses, launch=launch: emulator.launch(launch, addresses)
    return found


@pytest.fixture
def result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelResult:
    monkeypatch.setattr("benchmarks.architectures.build", lambda name: small_convnet())
    code: list[device_code.DeviceCode] = []
    build = device_code.build

    def keeping(*arguments: Any) -> device_code.DeviceCode:
        code.append(build(*arguments))
        return code[-1]

    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"\x7fELF")
    monkeypatch.setattr(device_code, "build", keeping)
    kit.write(tmp_path / "kit", "resnet50", (1, 2), "sm_90", "tf32")
    (model,) = kit.read(tmp_path / "kit")
    assert model.weights
    clock = Clock()
    kernels = _kernels(Emulator(code[0].source, tmp_path), code[0].launches)

    def open_driver() -> Driver:
        driver = FakeDriver(clock, kernels)
        driver.ns_per_byte = 0.02
        return driver

    return measure(model, open_driver, RUNS, 60.0, clock=clock, sleep=clock.sleep)


@needs_emulation
def test_a_prepared_model_is_measured_and_reported(result: ModelResult) -> None:
    assert [batch.batch for batch in result.batches] == [1, 2]
    first = result.batches[0]
    assert first.right
    assert first.difference is not None
    assert 0 < first.difference < 2e-2
    # The fake driver's kernels take ten microseconds each, and all alike.
    assert first.infer == Times(RUNS, *[10.0 * result.launches] * 4)
    assert first.plain.p50 == first.infer.p50
    assert (first.over, first.under) == (0, 0)
    assert result.load.count == LOADS
    assert result.raw_rate == pytest.approx(50, rel=0.1)
    assert 0 < result.load_rate <= result.raw_rate
    report = Report({"GPU": "fake"}, [], (result,), {torch_key(result, 1): {"eager": 30.0, "graph": 20.0}})
    met = {verdict.target: verdict.met for verdict in report.verdicts()}
    assert met["resnet50 tf32, batch 1: right"]
    assert met["resnet50 tf32, batch 1: p99.99 within 1 % of the median"]
    assert not met["resnet50 tf32, batch 1: at most 1.5 times PyTorch's best"]
    assert "| **missed** | resnet50 tf32, batch 1: at most 1.5 times PyTorch's best" in report.to_markdown()
    assert json.loads(report.to_json())["models"][0]["name"] == "resnet50"


def test_weights_that_were_left_out_are_random(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.architectures.build", lambda name: small_convnet())
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"\x7fELF")
    written = kit.write(tmp_path, "m", (1,), "sm_90", "fp32", weights=False)
    assert not (written.artifact / "weights.bin").exists()
    (model,) = kit.read(tmp_path)
    values = np.frombuffer((model.artifact / "weights.bin").read_bytes(), np.float32)
    assert values.size
    assert 0.01 < values.std() < 0.03


def test_percentiles_are_by_the_nearest_rank() -> None:
    times = Times.of([1000 * n for n in range(1, 10_001)])
    assert (times.count, times.p50, times.p99, times.p9999, times.longest) == (10000, 5000, 9900, 9999, 10000)
    assert times.spread == pytest.approx(0.9998)


def test_serving_that_was_not_timed_alone_has_no_verdict() -> None:
    rows = [
        {"model": "m", "concurrency": 1, "p50_ms": 3.0, "overhead_ms": 0.5},
        {"model": "m", "concurrency": 16, "p50_ms": 9.0, "overhead_ms": None},
    ]
    report = Report(
        {}, [{"subject": "cores", "verdict": "poor", "found": "1", "change": "more"}], serving=rows
    )
    assert [verdict.met for verdict in report.verdicts()] == [True]
    assert "| cores | 1 | more |" in report.to_markdown()


def test_checking_a_gpu_takes_neither_the_compiler_nor_its_runtime() -> None:
    program = (
        "import sys; sys.modules['tvm'] = sys.modules['tvm_ffi'] = None;"
        "import benchmarks.gpu.__main__, clockwork_triton.worker.cuda.device"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_a_gpu_there_is_nothing_to_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = ROOT / "scripts" / "check-gpu"
    monkeypatch.setenv("PYTHON", sys.executable)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    command = [str(script), "--kit", str(tmp_path), "--output", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "there is nothing to check: there is no" in done.stderr


def test_tests_that_fail_are_a_target_missed() -> None:
    assert [verdict.met for verdict in Report({}, [], tests="3 passed in 0.1s").verdicts()] == [True]
    (verdict,) = Report({}, [], tests="1 failed", tests_passed=False).verdicts()
    assert not verdict.met
