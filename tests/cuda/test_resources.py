"""What compiled kernels take of a multiprocessor: registers, shared memory, and what does not fit there."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import onnx
import pytest

from benchmarks.architectures import build
from converters import device_code
from converters.arch import capability_of
from converters.convert import convert
from converters.nvcc import FLAGS, find_compiler, version
from converters.request import ConversionRequest
from converters.schedules.cuda.parts import REGISTERS, part_of
from tests.converters.models import small_convnet
from tests.cuda.emulator import needs_nvcc

ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
MOST_SPILT = 32
"""Bytes of a thread, outside of loops."""


@dataclass(frozen=True)
class Use:
    """Of a thread: registers, and bytes kept in memory for want of them; of a block: bytes of shared memory
    that its function declares."""

    registers: int
    spilt: int
    shared_bytes: int


@cache
def _known() -> frozenset[str]:
    """The architectures that nvcc compiles for, of which older ones know fewer."""
    compiler = find_compiler()
    assert compiler is not None
    done = subprocess.run([compiler, "--list-gpu-code"], capture_output=True, text=True, check=True)
    return frozenset(done.stdout.split())


def _assembled(source: Path, arch: str) -> dict[str, Use]:
    """What ptxas says of each function."""
    compiler = find_compiler()
    assert compiler is not None
    flags = ["-cubin", f"-arch={arch}", *FLAGS, "-Xptxas", "-v", "-o", "/dev/null"]
    done = subprocess.run([compiler, *flags, str(source)], capture_output=True, text=True, check=True)
    found = {}
    for part in done.stderr.split("Compiling entry function '")[1:]:

        def number(pattern: str, part: str = part) -> int:
            match = re.search(pattern, part)
            return int(match[1]) if match else 0

        found[part.partition("'")[0]] = Use(
            number(r"Used (\d+) registers"),
            number(r"(\d+) bytes spill stores"),
            number(r"(\d+) bytes smem"),
        )
    return found


def _check(
    model: onnx.ModelProto, directory: Path, monkeypatch: pytest.MonkeyPatch, arch: str, **more: Any
) -> None:
    if arch not in _known():
        pytest.skip(f"nvcc {version()} does not compile for {arch}")
    monkeypatch.setattr(device_code, "compile_source", lambda text, arch: b"")
    onnx.save(model, directory / "model.onnx")
    (directory / "artifact").mkdir()
    request = ConversionRequest(directory / "model.onnx", "m", target="cuda", arch=arch, **more)
    manifest = convert(request, directory / "artifact", {}, lambda progress: None)
    uses = _assembled(directory / "artifact" / "kernels.cu", arch)
    part = part_of(capability_of(arch))
    for launch in (launch for every in manifest.launches.values() for launch in every):
        use = uses[launch.function]
        x, y, z = launch.block
        # Registers are given to warps, eight a thread at a time.
        warps = -(-x * y * z // 32)
        assert use.registers > 0, launch.function
        assert warps * 32 * -(-use.registers // 8) * 8 <= REGISTERS, launch.function
        assert use.spilt <= MOST_SPILT, launch.function
        assert launch.shared_bytes + use.shared_bytes <= part.block_shared_bytes, launch.function


@needs_nvcc
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_kernels_of_a_small_network_fit_a_multiprocessor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str
) -> None:
    _check(small_convnet(), tmp_path, monkeypatch, arch, max_batch_size=2, batch_sizes=(2,))


@needs_nvcc
@pytest.mark.long
@pytest.mark.parametrize("arch", ARCHITECTURES)
@pytest.mark.parametrize("name", ["resnet50", "bert"])
def test_the_kernels_of_a_network_fit_a_multiprocessor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arch: str, name: str
) -> None:
    _check(build(name), tmp_path, monkeypatch, arch, max_batch_size=16, batch_sizes=(1, 16))
