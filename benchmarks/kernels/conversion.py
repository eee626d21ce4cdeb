"""What converting a model takes: a process of its own, whose time and largest memory are told."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import onnx

from benchmarks.architectures import build
from clockwork_triton.artifact.manifest import Manifest

PROGRAM = """
import sys
from pathlib import Path
from converters.convert import convert
from converters.request import ConversionRequest
folder, name, *sizes = sys.argv[1:]
folder, sizes = Path(folder), tuple(map(int, sizes))
request = ConversionRequest(folder / "model.onnx", name, max(sizes), sizes)
print(convert(request, folder / "artifact", {}, lambda progress: None).origin["checked"])
# The largest memory of this program, which getrusage confuses with that of the process it came from.
lines = Path("/proc/self/status").read_text().splitlines()
(folder / "memory").write_text(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
"""


@dataclass(frozen=True)
class Conversion:
    """What converting a model to some batch sizes took. Seconds include the check against ONNX Runtime."""

    model: str
    batches: tuple[int, ...]
    cores: int
    seconds: float
    cpu_seconds: float
    memory_mb: int
    weights_mb: float
    kernels: int
    checked: str


def convert(name: str, batches: tuple[int, ...], folder: Path) -> Conversion:
    """Leaves `model.onnx` and `artifact` in `folder`."""
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "artifact").mkdir(parents=True)
    onnx.save(build(name), folder / "model.onnx")
    command = [sys.executable, "-c", PROGRAM, str(folder), name, *map(str, batches)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    checked = process.stdout.read().strip()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
    if status:
        raise SystemExit(f"{name} was not converted")
    manifest = Manifest.read(folder / "artifact")
    kernels = {step.kernel for variant in manifest.variants.values() for step in variant.steps}
    return Conversion(
        name,
        batches,
        len(os.sched_getaffinity(0)),
        seconds,
        usage.ru_utime + usage.ru_stime,
        int((folder / "memory").read_text()) >> 10,
        manifest.weight_bytes / 2**20,
        len(kernels),
        checked,
    )
