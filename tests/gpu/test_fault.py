from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.gpu import kernels
from tests.gpu.subject import kernel, needs_gpu

ROOT = Path(__file__).resolve().parents[2]


@needs_gpu
def test_a_kernel_that_faults_takes_the_device_from_its_process(tmp_path: Path) -> None:
    cubin = tmp_path / kernels.ADD
    cubin.write_bytes(kernel(kernels.ADD, kernels.ADD_SOURCE))
    said = faults(cubin)
    assert [each["lost"] for each in said] == [True, True]
    assert "700" in said[0]["text"]


def faults(cubin: Path, *library: str) -> list[dict[str, Any]]:
    """What the driver says of a fault, and of a call after it, in a process that it may spoil."""
    command = [sys.executable, "-m", "tests.gpu.fault", str(cubin), *library]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
