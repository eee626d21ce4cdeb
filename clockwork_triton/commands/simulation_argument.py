"""The arguments that say what to simulate."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from clockwork_triton.flag_values import count
from clockwork_triton.simulation.experiment import Experiment
from clockwork_triton.simulation.experiment_file import read_experiment
from clockwork_triton.simulation.replay import Measured, read_logs
from clockwork_triton.simulation.studies import STUDIES, Choices, Study
from clockwork_triton.simulation.toml_table import ExperimentError
from clockwork_triton.simulation.traces import read_maf1
from clockwork_triton.simulation.workloads import with_slo
from clockwork_triton.simulation.zoo import V100_PAGES

MS = 1_000_000
SECOND = 1_000_000_000


def add_experiment(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "experiment", nargs="?", help=f"{', '.join(STUDIES)}, or a TOML file (see docs/simulation.md)"
    )
    what.add_argument(
        "--replay", type=Path, metavar="LOG", help="a server's request log; needs its action log as well"
    )
    parser.add_argument("--actions", type=Path, metavar="LOG", help="the action log beside it")
    parser.add_argument(
        "--pages", type=count, default=V100_PAGES, help="of the device of a replay; default: %(default)s"
    )
    parser.add_argument(
        "--overlaps", action="store_true", help="the device of a replay runs LOADs beside INFERs"
    )
    parser.add_argument("--slo-ms", type=float, metavar="MS", help="for a replay: of all requests")
    parser.add_argument("--devices", type=count, metavar="N", help="default: the experiment's")
    parser.add_argument("--seed", type=int, default=None, help="default: the experiment's, or 0")
    parser.add_argument("--duration", type=float, metavar="SECONDS", help="of each run, on the virtual clock")
    parser.add_argument("--trace", type=Path, metavar="CSV", help="for azure: a file in MAF1 format")


def choices_of(args: argparse.Namespace) -> Choices:
    """ExperimentError if the trace cannot be read, or arguments do not go together."""
    if args.replay is not None and args.actions is None:
        raise ExperimentError("--replay needs --actions")
    try:
        counts = read_maf1(args.trace) if args.trace is not None else None
    except (OSError, ValueError) as error:
        raise ExperimentError(str(error)) from None
    duration_ns = round(args.duration * SECOND) if args.duration else None
    return Choices(args.devices, duration_ns, args.seed or 0, counts)


def study_of(args: argparse.Namespace) -> Study:
    """ExperimentError if there is no such experiment, or it would end before it begins to count."""
    study = _study(args, choices_of(args))
    for _, experiment in study.runs:
        if experiment.duration_ns <= experiment.warm_up_ns:
            raise ExperimentError(
                f"'{study.name}' must last longer than its {experiment.warm_up_ns / SECOND:g} s to warm up"
            )
    return study


def replay_of(args: argparse.Namespace) -> tuple[Experiment, Measured]:
    """The traffic of `--replay` with what is chosen beside it. ExperimentError if the logs make no sense."""
    choices = choices_of(args)
    experiment, measured = read_logs(args.replay, args.actions, args.pages, overlaps=args.overlaps)
    if args.slo_ms is not None:
        loads = [with_slo(load, round(args.slo_ms * MS)) for load in experiment.workloads]
        experiment = replace(experiment, workloads=loads)
    return replace(experiment, devices=choices.devices or 1, seed=choices.seed), measured


def _study(args: argparse.Namespace, choices: Choices) -> Study:
    if args.experiment in STUDIES:
        return STUDIES[args.experiment](choices)
    path = Path(args.experiment)
    if path.suffix != ".toml":
        raise ExperimentError(f"'{args.experiment}' is none of {', '.join(STUDIES)}, and no .toml file")
    experiment = read_experiment(path)
    if choices.devices is not None:
        experiment = experiment.with_devices(choices.devices)
    if choices.duration_ns is not None:
        experiment = replace(experiment, duration_ns=choices.duration_ns)
    if args.seed is not None:
        experiment = replace(experiment, seed=args.seed)
    return Study(experiment.name, experiment.about, "", [("", experiment)])
