"""`python -m benchmarks.serving CHECK`: one check, or `all` of them into a page of results."""

from __future__ import annotations

import argparse
import json
import shlex
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console

from benchmarks.serving import (
    architectures,
    clients,
    expiry,
    kill_server,
    kill_worker,
    machine,
    many_models,
    outputs,
    overload,
    page,
    perf_analyzer_modes,
    prediction,
    start,
)
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup

ROOT = Path(__file__).resolve().parents[2]
CHECKS: dict[str, ModuleType] = {
    "start": start,
    "clients": clients,
    "perf_analyzer": perf_analyzer_modes,
    "outputs": outputs,
    "prediction": prediction,
    "many_models": many_models,
    "expiry": expiry,
    "overload": overload,
    "kill_worker": kill_worker,
    "kill_server": kill_server,
    "architectures": architectures,
}


def main() -> int:
    # So that a check that is ended ends its server.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    reports = run(sys.argv[1:])
    return 0 if all(report.holds for report in reports) else 1


def run(argv: Sequence[str]) -> list[Report]:
    """Runs and shows the checks that a command line names."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    chosen = [arguments]
    if arguments.check == "all":
        # Each with its own defaults beside what was given for all.
        names = [name for name in CHECKS if name not in arguments.skip]
        chosen = [
            argparse.Namespace(**vars(parser.parse_args([n])) | vars(arguments) | {"check": n}) for n in names
        ]
    console, reports = Console(width=None if sys.stdout.isatty() else 160), []
    with tempfile.TemporaryDirectory(prefix="clockwork-serving-") as name:
        setup = _setup(arguments, Path(name))
        for one in chosen:
            begin = time.monotonic()
            reports.append(_run(setup, one))
            reports[-1].show(console)
            console.print(f"{one.check} took {time.monotonic() - begin:.0f} s", style="dim")
    if arguments.json:
        arguments.json.write_text(json.dumps([report.document() for report in reports], indent=2) + "\n")
    if arguments.check == "all" and arguments.results:
        page.write(reports, arguments.results)
    return reports


def _run(setup: Setup, arguments: argparse.Namespace) -> Report:
    """A check that breaks down has failed; the others go on."""
    others = machine.Others()
    try:
        report: Report = CHECKS[arguments.check].run(setup, arguments)
    except Exception as error:
        traceback.print_exc()
        report = Report(arguments.check, arguments.check)
        report.claim("The check runs to its end", False, f"{type(error).__name__}: {error}"[:2000])
    report.notes.append(f"Other processes took {others.share():.0%} of the machine's CPU time meanwhile.")
    return report


def _setup(arguments: argparse.Namespace, temporary: Path) -> Setup:
    scratch: Path = arguments.scratch or temporary
    scratch.mkdir(parents=True, exist_ok=True)
    return Setup(
        shlex.split(arguments.server),
        scratch,
        arguments.artifact_cache or scratch / "artifacts",
        arguments.results / "serving" if arguments.results else scratch,
    )


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model-repository", type=Path, default=ROOT / "model_repository", metavar="DIR")
    common.add_argument("--models", nargs="*", default=[], help="only these of the repository")
    common.add_argument("--artifact-cache", type=Path, metavar="DIR", help="kept; default: a temporary one")
    common.add_argument("--scratch", type=Path, metavar="DIR", help="keeps logs and generated models there")
    common.add_argument("--results", type=Path, metavar="DIR", help="where pictures and the page of `all` go")
    common.add_argument("--json", type=Path, metavar="FILE", help="writes the figures there too")
    common.add_argument(
        "--server",
        default=f"{shlex.quote(sys.executable)} -m clockwork_triton.cli serve",
        metavar="COMMAND",
        help="starts the server; flags are added to it",
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serving", description=__doc__)
    checks = parser.add_subparsers(dest="check", required=True, metavar="CHECK")
    for name, check in CHECKS.items():
        check.options(
            checks.add_parser(name, parents=[common], help=check.__doc__, description=check.__doc__)
        )
    everything = checks.add_parser("all", parents=[common], help="every check")
    everything.add_argument("--skip", nargs="*", default=[], choices=CHECKS, help="leave these out")
    return parser


if __name__ == "__main__":
    sys.exit(main())
