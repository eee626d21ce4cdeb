"""NVIDIA's compiler: CUDA C to code for one GPU architecture."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from converters.request import ConversionError

FLAGS = ("-std=c++17", "-O3", "-w")
# What nvcc says where it finds no compiler of the host, or gcc no part for C++.
_NO_HOST_COMPILER = ("Failed to preprocess host compiler properties", "cannot execute 'cc1plus'")


def find_compiler() -> str | None:
    """The path of nvcc, if there is one."""
    home = os.environ.get("CUDA_HOME") or os.environ.get("CUDA_PATH") or "/usr/local/cuda"
    return shutil.which("nvcc") or shutil.which("nvcc", path=str(Path(home) / "bin"))


def find_host_compiler() -> str | None:
    """The path of the compiler that nvcc calls for what is not device code, if there is one."""
    return os.environ.get("NVCC_CCBIN") or shutil.which("g++")


def version() -> str:
    """That of nvcc, such as 13.0.88; empty where there is none, or none that tells."""
    compiler = find_compiler()
    if compiler is None:
        return ""
    return _version(compiler, Path(compiler).stat().st_mtime_ns)


@cache
def _version(compiler: str, changed_ns: int) -> str:
    """Asked for once, as long as the file stays the same."""
    done = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"\bV(\d+\.\d+\.\d+)", done.stdout)
    return found[1] if found else ""


def compile_source(text: str, arch: str) -> bytes:
    """CUDA C to a cubin for one architecture. ConversionError with what is missing, or with the
    compiler's first complaint."""
    compiler = find_compiler()
    if compiler is None:
        raise ConversionError("compiling for a GPU needs nvcc, of NVIDIA's CUDA toolkit, and g++ on the PATH")
    with tempfile.TemporaryDirectory() as scratch:
        source, cubin = Path(scratch) / "kernels.cu", Path(scratch) / "kernels.cubin"
        source.write_text(text)
        command = [compiler, "-cubin", f"-arch={arch}", *FLAGS, "-o", str(cubin)]
        done = subprocess.run([*command, str(source)], capture_output=True, text=True, check=False)
        if done.returncode and any(sign in done.stderr for sign in _NO_HOST_COMPILER):
            complaint = done.stderr.strip().partition("\n")[0]
            raise ConversionError(f"compiling for a GPU needs g++ on the PATH beside nvcc: {complaint}")
        if done.returncode:
            raise ConversionError(f"nvcc cannot compile the model: {done.stderr.strip()[:1500]}")
        return cubin.read_bytes()
