"""`clockwork-triton simulate`: the controller that serves, on a virtual clock."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from clockwork_triton.commands.simulation_argument import add_experiment, replay_of, study_of
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.simulation.experiment import Experiment, Runner
from clockwork_triton.simulation.plot import plot
from clockwork_triton.simulation.replay import Measured
from clockwork_triton.simulation.report import report
from clockwork_triton.simulation.studies import Study
from clockwork_triton.simulation.toml_table import ExperimentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument(
        "--policy",
        type=lambda text: text.split(","),
        default=["adaptive", "clockwork"],
        metavar="NAME[,NAME...]",
        help=f"of {', '.join(POLICIES)}; default: adaptive,clockwork",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="see docs/simulation.md")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="needs the extra 'plot'")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="clockwork-triton simulate", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    unknown = [name for name in args.policy if name not in POLICIES]
    if unknown:
        parser.error(f"--policy: '{unknown[0]}' is not one of {', '.join(POLICIES)}")
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Runs the study under every policy, prints a table, writes and draws what was asked for."""
    try:
        study, measured = _study(args)
    except ExperimentError as error:
        print(f"clockwork-triton simulate: {error}", file=sys.stderr)
        return 1
    results = run_study(study, args.policy)
    console = Console()
    console = console if console.is_terminal else Console(width=140)
    console.print(table(study, results, measured))
    if args.json is not None:
        args.json.write_text(json.dumps(document(study, results), indent=1) + "\n")
    if args.plot is not None:
        try:
            plot(study.name, study.axis, results, args.plot)
        except ModuleNotFoundError:
            print("clockwork-triton simulate: --plot needs matplotlib (the extra 'plot')", file=sys.stderr)
            return 1
    return 0


def _study(args: argparse.Namespace) -> tuple[Study, Measured | None]:
    if args.replay is None:
        return study_of(args), None
    experiment, measured = replay_of(args)
    return Study(experiment.name, experiment.about, "", [("", experiment)]), measured


def run_study(study: Study, policies: Sequence[str]) -> list[dict[str, Any]]:
    """The reports of all runs, each with the label of its run."""
    console = Console(stderr=True)
    results = []
    # A simulation makes no cycles worth looking for, and holds many objects.
    gc.disable()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as bars:
        for label, experiment in study.runs:
            for policy in policies:
                results.append({"label": label, **_run(bars, label, experiment, policy)})
    gc.enable()
    return results


def _run(bars: Progress, label: str, experiment: Experiment, policy: str) -> dict[str, Any]:
    name = f"{experiment.name} {label} {policy}".replace("  ", " ")
    bar = bars.add_task(name, total=experiment.duration_ns)
    found = report(Runner(policy, lambda passed_ns: bars.update(bar, completed=passed_ns)).run(experiment))
    bars.remove_task(bar)
    return found


def document(study: Study, results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {"study": study.name, "about": study.about, "axis": study.axis, "runs": list(results)}


def table(study: Study, results: Sequence[dict[str, Any]], measured: Measured | None = None) -> Table:
    found = Table(title=study.name, caption=study.about)
    if study.axis:
        found.add_column(study.axis)
    found.add_column("policy")
    for heading in (
        "offered r/s",
        "goodput r/s",
        "in time",
        "refused",
        "late",
        "p50 ms",
        "p99 ms",
        "max ms",
        "LOADs",
        "busy",
        "us/request",
    ):
        found.add_column(heading, justify="right")
    for result in results:
        latency = result["latency_ms"]
        found.add_row(
            *([result["label"]] if study.axis else []),
            result["policy"],
            f"{result['offered_rps']:.0f}",
            f"{result['goodput_rps']:.0f}",
            f"{100 * result['attainment']:.3f} %",
            str(result["refused"]),
            str(result["late"]),
            *(f"{latency[name]:.2f}" if latency else "" for name in ("p50", "p99", "max")),
            str(result["loads"]),
            f"{100 * result['device_busy']['infer']:.0f} %",
            f"{result['controller_us_per_request']:.1f}",
        )
    if measured is not None and measured.latencies_ns:
        latencies = measured.latencies_ns
        cells = [f"{latencies[int(part * (len(latencies) - 1))] / 1e6:.2f}" for part in (0.5, 0.99, 1.0)]
        found.add_row("measured", "", f"{measured.goodput_rps:.0f}", "", "", "", *cells, "", "", "")
    return found
