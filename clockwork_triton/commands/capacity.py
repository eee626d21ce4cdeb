"""`clockwork-triton capacity`: what a given traffic needs, before it comes."""

from __future__ import annotations

import argparse
import gc
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from clockwork_triton.commands.simulation_argument import add_experiment, replay_of, study_of
from clockwork_triton.controller.policy import POLICIES
from clockwork_triton.simulation.capacity import Capacity, Trial
from clockwork_triton.simulation.experiment import Experiment
from clockwork_triton.simulation.toml_table import ExperimentError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_experiment(parser)
    parser.add_argument("--policy", choices=sorted(POLICIES), default="adaptive", help="default: %(default)s")
    parser.add_argument(
        "--attainment",
        type=float,
        default=99.0,
        metavar="PERCENT",
        help="of the requests to be answered in time; default: %(default)s",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="clockwork-triton capacity", description=__doc__)
    add_arguments(parser)
    args = parser.parse_args(argv)
    if not 0 < args.attainment <= 100:
        parser.error("--attainment: must be above 0 and at most 100")
    return run(args)


def run(args: argparse.Namespace) -> int:
    """Prints the fewest devices for the SLOs as they are, and the lowest SLO on the devices as they are."""
    try:
        experiment = _experiment(args)
    except ExperimentError as error:
        print(f"clockwork-triton capacity: {error}", file=sys.stderr)
        return 1
    gc.disable()
    console = Console(stderr=True)
    capacity = Capacity(
        experiment, args.policy, args.attainment / 100, lambda trial: console.print(_line(trial))
    )
    devices = capacity.fewest_devices()
    slo_ns = capacity.lowest_slo_ns()
    gc.enable()
    print(f"fewest devices for {args.attainment:g} % in time: {devices or 'none'}")
    slo = "none" if slo_ns is None else f"{slo_ns / 1e6:.1f} ms"
    print(f"lowest SLO for {args.attainment:g} % in time on {experiment.devices} device(s): {slo}")
    if args.json is not None:
        found = {
            "experiment": experiment.name,
            "policy": args.policy,
            "attainment": args.attainment / 100,
            "fewest_devices": devices,
            "devices": experiment.devices,
            "lowest_slo_ms": None if slo_ns is None else slo_ns / 1e6,
        }
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    return 0 if devices is not None and slo_ns is not None else 1


def _experiment(args: argparse.Namespace) -> Experiment:
    if args.replay is None:
        study = study_of(args)
        if len(study.runs) != 1:
            raise ExperimentError(f"'{study.name}' is several experiments; give a TOML file of one")
        return study.runs[0][1]
    return replay_of(args)[0]


def _line(trial: Trial) -> str:
    slo = "" if trial.slo_ns is None else f", SLO {trial.slo_ns / 1e6:.1f} ms"
    return f"{trial.devices} device(s){slo}: {100 * trial.attainment:.3f} % in time"
