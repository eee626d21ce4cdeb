"""The tests that need a GPU, dry: on a fake driver library and an emulation, so that no mistake of their own
comes to light only where the GPU is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks.gpu.prepared import prepared
from tests.cuda.emulator import needs_emulation, needs_nvcc
from tests.gpu.test_fault import faults
from tests.worker.cuda.fake_library import build, needs_fake_library

ROOT = Path(__file__).resolve().parents[3]
# Nothing faults there.
REAL = "not faults"


@needs_nvcc
@needs_emulation
@needs_fake_library
def test_the_tests_that_need_a_gpu_pass_without_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    prepared(tmp_path / "kit", monkeypatch).emulate(kernels)
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-k", REAL, "tests/gpu"]
    environment = {
        "LD_LIBRARY_PATH": str(build(tmp_path).parent),
        "FAKE_CUDA_KERNELS": str(kernels),
        "GPU_KIT": str(tmp_path / "kit"),
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout
    assert "6 passed, 2 deselected" in done.stdout


@needs_nvcc
@needs_fake_library
def test_a_fault_that_is_pretended_takes_the_device(tmp_path: Path) -> None:
    assert [each["lost"] for each in faults(str(build(tmp_path)))] == [True, True]
