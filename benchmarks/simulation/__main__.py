"""`python -m benchmarks.simulation [CHECK...]`: what the controller is worth, on a virtual clock."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console

from benchmarks.serving import machine
from benchmarks.serving.report import Report
from benchmarks.simulation import azure, cost, ideal, load, noise, ramps, replay, thousands
from benchmarks.simulation.trials import Trials

CHECKS: dict[str, ModuleType] = {
    "load": load,
    "ideal": ideal,
    "thousands": thousands,
    "azure": azure,
    "ramps": ramps,
    "noise": noise,
    "cost": cost,
    "replay": replay,
}
INTRODUCTION = """# The controller, measured on a virtual clock

Written by `scripts/results-simulation`: the class that serves, driven by the simulator. Only `cost` depends
on the machine, and `replay`, which compares a real server on it with its simulation.
"""


def main() -> int:
    arguments = _parse(sys.argv[1:])
    console, reports = Console(width=None if sys.stdout.isatty() else 160), []
    with tempfile.TemporaryDirectory(prefix="clockwork-simulation-") as name:
        folder: Path = arguments.results or Path(name)
        pictures = folder / "simulation"
        pictures.mkdir(parents=True, exist_ok=True)
        if arguments.kept is not None:
            arguments.kept.mkdir(parents=True, exist_ok=True)
        trials = Trials(arguments.share, arguments.kept)
        for check in arguments.checks or CHECKS:
            reports.append(_run(check, trials, pictures))
            reports[-1].show(console)
        if arguments.results and not arguments.checks:
            write(reports, folder)
    return 0 if all(report.holds for report in reports) else 1


def _run(check: str, trials: Trials, pictures: Path) -> Report:
    """A check that breaks down has failed; the others go on."""
    try:
        report: Report = CHECKS[check].run(trials, pictures)
    except Exception as error:
        traceback.print_exc()
        report = Report(check, check)
        report.claim("The check runs to its end", False, f"{type(error).__name__}: {error}"[:2000])
    return report


def write(reports: Sequence[Report], folder: Path) -> None:
    """`simulation.md` and `simulation.json` in `folder`."""
    sections = [report.markdown(folder) for report in reports]
    page = "\n".join([INTRODUCTION, machine.description(), "", *sections])
    (folder / "simulation.md").write_text(page.rstrip() + "\n")
    document = {"machine": machine.description(), "checks": [report.document() for report in reports]}
    (folder / "simulation.json").write_text(json.dumps(document, indent=2) + "\n")


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.simulation", description=__doc__)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)}; default: all")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual duration, for a quick look")
    parser.add_argument("--results", type=Path, metavar="DIR", help="where the page and its pictures go")
    parser.add_argument(
        "--kept", type=Path, metavar="DIR", help="keeps reports of runs, and takes them from there"
    )
    arguments = parser.parse_args(argv)
    for check in arguments.checks:
        if check not in CHECKS:
            parser.error(f"no check '{check}'; there are {', '.join(CHECKS)}")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
