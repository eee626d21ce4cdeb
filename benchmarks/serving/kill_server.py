"""SIGKILL to the server while it converts, at several moments: the next start finds no broken artifact."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.serving.outputs import ask
from benchmarks.serving.processes import end
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from benchmarks.serving.subjects import TOLERANCE, subjects
from clockwork_triton.artifact import Manifest

ENDS_WITHIN_S = 10.0


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--kills", type=int, default=4, help="starts that are killed, all on one artifact cache"
    )
    parser.add_argument(
        "--first", type=float, default=1.5, help="seconds to the first; doubled for each next"
    )


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("kill_server", "A server killed while it converts")
    table = report.table("", "kill", "after s", "artifacts", "broken", "left running")
    cache = setup.scratch / "kill-server-cache"
    broken, running = 0, 0
    for number in range(arguments.kills):
        delay_s = arguments.first * 2**number
        with setup.serve(
            arguments.model_repository, artifact_cache=cache, wait=False, name="kill-server"
        ) as server:
            time.sleep(delay_s)
            family = server.descendants()
            server.kill()
            orphans = end(family, ENDS_WITHIN_S)
        found = verdicts(cache)
        bad = sum(bool(verdict) for verdict in found)
        table.add(number + 1, delay_s, len(found), bad, len(orphans))
        broken, running = broken + bad, running + len(orphans)
    with setup.serve(arguments.model_repository, artifact_cache=cache, name="kill-server-after") as server:
        ready_s = server.ready_s
        unfinished = list(cache.glob(".*/"))
        models = subjects(server, arguments.model_repository, sequences=True)
        generator = np.random.default_rng(7)
        # Those of sequences are served, and cannot be asked for one answer.
        alone = [model for model in models if not model.sequences]
        checks = [ask(server.address, m, [m.random_inputs(1, generator)], 1) for m in alone]
    wanted = {path.parent.name for path in arguments.model_repository.glob("*/config.pbtxt")}
    report.claim("The first kill came before the conversions were done", int(table.rows[0][2]) < len(wanted))
    report.claim("No artifact in the cache is broken", not broken)
    report.claim("The next start cleans up", not unfinished, f"{len(unfinished)} things left in the cache")
    report.claim(f"Its processes end within {ENDS_WITHIN_S:g} s of it", not running, f"{running} did not")
    report.claim(
        "The next start serves every model rightly",
        {model.name for model in models} >= wanted
        and all(worst <= TOLERANCE and not failures for worst, failures in checks),
        f"ready after {ready_s:.1f} s, worst deviation {max(worst for worst, _ in checks):.1e}",
    )
    return report


def verdicts(cache: Path) -> list[str]:
    """For every artifact in the cache, what is wrong with it: empty if nothing is."""
    return [verdict(path) for path in cache.glob("*/") if not path.name.startswith(".")]


def verdict(artifact: Path) -> str:
    try:
        manifest = Manifest.read(artifact)
    except (OSError, ValueError) as error:
        return str(error)
    weights = (artifact / "weights.bin").stat().st_size if (artifact / "weights.bin").exists() else 0
    needed = max((segment.file_offset + segment.bytes for segment in manifest.segments), default=0)
    if weights < needed:
        return f"weights.bin has {weights} bytes of {needed}"
    if manifest.variants and not (artifact / "kernels.so").exists():
        return "there are no kernels"
    return ""
