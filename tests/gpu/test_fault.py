from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.gpu.subject import needs_gpu, needs_nvcc

ROOT = Path(__file__).resolve().parents[2]


@needs_gpu
@needs_nvcc
def test_a_kernel_that_faults_takes_the_device_from_its_process() -> None:
    said = faults()
    assert [each["lost"] for each in said] == [True, True]
    assert "700" in said[0]["text"]


def faults(*library: str) -> list[dict[str, Any]]:
    """What the driver says of a fault, and of a call after it, in a process that it may spoil."""
    command = [sys.executable, "-m", "tests.gpu.fault", *library]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
