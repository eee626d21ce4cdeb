"""Nine published architectures with random weights against ONNX Runtime, at batch 1 and 4."""

from __future__ import annotations

import argparse

from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--only", nargs="*", default=[], help="architectures by name")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    raise NotImplementedError
