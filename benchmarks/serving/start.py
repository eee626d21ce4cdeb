"""How long the server takes to be ready: with an empty artifact cache, and with a warm one."""

from __future__ import annotations

import argparse

from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup

READY_WITHIN_S = 10.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--starts", type=int, default=3, help="with the warm cache")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("start", "Start")
    table = report.table("", "artifact cache", "ready after s")
    cache, warm = setup.scratch / "start-cache", []
    with setup.serve(arguments.model_repository, artifact_cache=cache, name="start-cold") as server:
        table.add("empty", server.ready_s)
    for _ in range(arguments.starts):
        with setup.serve(arguments.model_repository, artifact_cache=cache, name="start-warm") as server:
            warm.append(server.ready_s)
            table.add("warm", server.ready_s)
    report.claim(
        f"With a warm cache the server is ready within {READY_WITHIN_S:g} s",
        max(warm) <= READY_WITHIN_S,
        f"at most {max(warm):.1f} s",
    )
    return report
