"""The tests that need a GPU, dry: on a fake driver library and an emulation, so that no mistake of their own
comes to light only where the GPU is; and without nvcc, as where the GPU is."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.gpu import kernels
from tests.benchmarks.gpu.prepared import prepared
from tests.cuda.emulator import needs_emulation
from tests.gpu.test_fault import faults
from tests.worker.cuda.fake_library import build, needs_fake_library

ROOT = Path(__file__).resolve().parents[3]
# Nothing faults there.
REAL = "not faults"


def _test(folder: Path, *what: str) -> subprocess.CompletedProcess[str]:
    """Has pytest test them; below `folder` are the kit, the fake library and the kernels that it runs."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-rs", *what]
    environment = {
        "LD_LIBRARY_PATH": str(build(folder).parent),
        "FAKE_CUDA_KERNELS": str(folder / "kernels"),
        "GPU_KIT": str(folder / "kit"),
        "PATH": "",
        "CUDA_HOME": str(folder),
    }
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment)


@needs_emulation
@needs_fake_library
def test_the_tests_that_need_a_gpu_pass_without_one_and_without_nvcc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernels").mkdir()
    prepared(tmp_path / "kit", monkeypatch).emulate(tmp_path / "kernels")
    done = _test(tmp_path, "-k", REAL, "tests/gpu")
    assert done.returncode == 0, done.stdout
    assert "6 passed, 2 deselected" in done.stdout


@needs_emulation
@needs_fake_library
def test_what_the_kit_lacks_and_nothing_compiles_is_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "kernels").mkdir()
    found = prepared(tmp_path / "kit", monkeypatch)
    found.emulate(tmp_path / "kernels")
    shutil.rmtree(found.model.folder / kernels.FOLDER)
    done = _test(tmp_path, "tests/gpu/test_fault.py", "tests/gpu/test_device.py")
    assert "3 passed, 2 skipped" in done.stdout
    assert "GPU_KIT names no kit with add.cubin, and there is no nvcc to compile it" in done.stdout


@needs_emulation
@needs_fake_library
def test_a_fault_comes_from_the_code_that_the_kit_has_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The fake driver says so by refusing what is no code."""
    (tmp_path / "kernels").mkdir()
    found = prepared(tmp_path / "kit", monkeypatch)
    found.emulate(tmp_path / "kernels")
    (found.model.folder / kernels.FOLDER / kernels.FAULTY).write_bytes(b"none")
    done = _test(tmp_path, "tests/gpu/test_worker.py", "-k", "faults")
    assert "1 failed" in done.stdout
    assert "cuModuleLoadData" in done.stdout


@needs_fake_library
def test_a_fault_that_is_pretended_takes_the_device(tmp_path: Path) -> None:
    cubin = tmp_path / kernels.ADD
    cubin.write_bytes(b"\x7fELF")
    assert [each["lost"] for each in faults(cubin, str(build(tmp_path)))] == [True, True]
