"""The page of results in docs/."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.serving import machine
from benchmarks.serving.report import Report

INTRODUCTION = """# Serving, measured

Written by `scripts/acceptance`: every check starts its own server on loopback ports, and unmodified Triton
clients or ONNX Runtime judge it. Client and server share the machine, so whatever else runs there shows in
every latency; each section says how much that was.
"""


def write(reports: Sequence[Report], folder: Path) -> None:
    """`serving.md` and `serving.json` in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    sections = [report.markdown(folder) for report in reports]
    page = "\n".join([INTRODUCTION, machine.description(), "", *sections])
    (folder / "serving.md").write_text(page.rstrip() + "\n")
    document = {"machine": machine.description(), "checks": [report.document() for report in reports]}
    (folder / "serving.json").write_text(json.dumps(document, indent=2) + "\n")
