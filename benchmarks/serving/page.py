"""The page of results in docs/."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from benchmarks.serving.report import Report

INTRODUCTION = """# Serving, measured

Written by `scripts/acceptance`: every check starts its own server on loopback ports, and unmodified Triton
clients or ONNX Runtime judge it. Client and server share the machine.
"""


def write(reports: Sequence[Report], folder: Path) -> None:
    """`serving.md` and `serving.json` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = [report.markdown(folder) for report in reports]
    (folder / "serving.md").write_text("\n".join([INTRODUCTION, machine(), "", *sections]).rstrip() + "\n")
    document = {"machine": machine(), "checks": [report.document() for report in reports]}
    (folder / "serving.json").write_text(json.dumps(document, indent=2) + "\n")


def machine() -> str:
    """One sentence on where the figures come from."""
    cores = len(os.sched_getaffinity(0))
    packages = ", ".join(f"{name} {version(name)}" for name in ("apache-tvm", "onnxruntime", "grpcio"))
    return f"Machine: {cores} cores of {_cpu()}. Python {platform.python_version()}, {packages}."


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
