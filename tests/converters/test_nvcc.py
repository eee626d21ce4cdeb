"""What is said where something is missing that compiles for a GPU."""

from __future__ import annotations

from pathlib import Path

import pytest

from converters import nvcc
from converters.request import ConversionError

MISSING = """gcc: No such file or directory
nvcc fatal   : Failed to preprocess host compiler properties."""
PART_MISSING = "gcc: fatal error: cannot execute 'cc1plus': execvp: No such file or directory"
KILLED = "gcc: fatal error: Killed signal terminated program cc1plus"
ERROR = "kernels.cu(1): error: this declaration has no storage class or type specifier"


def _compiler(folder: Path, stderr: str) -> None:
    """An nvcc that fails and says so."""
    path = folder / "nvcc"
    path.write_text(f'#!/bin/sh\necho "{stderr}" >&2\nexit 1\n')
    path.chmod(0o755)


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        (MISSING, r"needs g\+\+ on the PATH beside nvcc: gcc: No such file or directory\Z"),
        (PART_MISSING, r"needs g\+\+ on the PATH beside nvcc: gcc: fatal error: cannot execute"),
        (KILLED, "nvcc cannot compile the model: gcc: fatal error: Killed"),
        (ERROR, r"nvcc cannot compile the model: kernels\.cu\(1\): error"),
    ],
    ids=["no gcc", "no C++", "no memory", "an error"],
)
def test_a_compiler_of_the_host_that_is_missing_is_told_from_code_that_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stderr: str, said: str
) -> None:
    _compiler(tmp_path, stderr)
    monkeypatch.setattr(nvcc, "find_compiler", lambda: str(tmp_path / "nvcc"))
    with pytest.raises(ConversionError, match=said):
        nvcc.compile_source("", "sm_90")


def test_no_nvcc_needs_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvcc, "find_compiler", lambda: None)
    with pytest.raises(ConversionError, match=r"needs nvcc, of NVIDIA's CUDA toolkit, and g\+\+ on the PATH"):
        nvcc.compile_source("", "sm_90")


def test_the_compiler_of_the_host_is_the_one_that_nvcc_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("NVCC_CCBIN", raising=False)
    assert nvcc.find_host_compiler() is None
    path = tmp_path / "g++"
    path.touch(0o755)
    assert nvcc.find_host_compiler() == str(path)
    monkeypatch.setenv("NVCC_CCBIN", "/opt/clang++")
    assert nvcc.find_host_compiler() == "/opt/clang++"
