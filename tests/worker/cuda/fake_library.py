"""Builds fake_libcuda.c, where there are a compiler and the header that its calls are held against."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

HEADERS = Path(os.environ.get("CUDA_HOME", "/usr/local/cuda")) / "include"
COMPILER = shutil.which("gcc")
needs_fake_library = pytest.mark.skipif(
    COMPILER is None or not (HEADERS / "cuda.h").exists(),
    reason="no gcc, or no cuda.h to hold the calls against",
)


def build(directory: Path) -> Path:
    """The library, under the name by which programs look for the driver."""
    assert COMPILER is not None
    path = directory / "libcuda.so.1"
    source = Path(__file__).with_name("fake_libcuda.c")
    flags = ["-shared", "-fPIC", "-Wall", "-Werror", f"-I{HEADERS}"]
    command = [COMPILER, *flags, "-o", str(path), str(source), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path
