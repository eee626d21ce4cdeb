"""The command line of `clockwork-triton bench`."""

from __future__ import annotations

import argparse
from pathlib import Path

from clockwork_triton.bench.plan import KINDS
from clockwork_triton.commands.model_argument import parse_shape
from clockwork_triton.flag_values import count, level, seconds

_DESCRIPTION = """Loads any server of the protocol over gRPC, and says what it made of it: offered load,
goodput, refusals, late answers and latency of every model. Latency runs from sending to reading an answer;
what the client itself was late by is said beside it."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="clockwork-triton bench", description=_DESCRIPTION)
    made.add_argument("models", nargs="*", metavar="MODEL", help="default: all that the server has ready")
    made.add_argument("-u", "--url", default="localhost:8001", help="the gRPC port; default: %(default)s")
    _add_workload(made.add_argument_group("workload"))
    _add_requests(made.add_argument_group("requests"))
    _add_run(made.add_argument_group("run"))
    return made


def _add_workload(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--workload",
        choices=KINDS,
        help="when requests are sent: by clients that wait for their answers (closed-loop), or by a clock:"
        " steady, poisson, ramp (poisson, faster step by step), bursty (poisson, on and off), maf1 (a trace"
        " of invocations per minute), timestamps (a trace of arrivals); default: poisson with --rate, else"
        " closed-loop",
    )
    add("--rate", type=positive, metavar="R", help="requests a second, of all models together")
    add(
        "--zipf",
        type=seconds,
        default=0.0,
        metavar="S",
        help="the nth model gets 1/n^S; default: all the same",
    )
    add("--growth", type=positive, default=1.5, help="ramp: factor of each step; default: %(default)s")
    add("--step-s", type=positive, default=5.0, help="ramp: default: %(default)s")
    add("--on-s", type=positive, default=1.0, help="bursty: mean; default: %(default)s")
    add("--off-s", type=positive, default=1.0, help="bursty: mean; default: %(default)s")
    add("--concurrency", type=count, default=1, help="closed-loop: clients of each model; default: 1")
    add(
        "--think-us",
        type=seconds,
        default=0.0,
        help="closed-loop: between answer and next request; default: 0",
    )
    add("--trace", type=Path, metavar="FILE", help="maf1, timestamps: a CSV file")
    add("--column", default="TIMESTAMP", help="timestamps: of the file; default: %(default)s")
    add("--speed", type=positive, default=1.0, help="timestamps: how much faster; default: 1")


def _add_requests(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--slo-ms",
        type=slo,
        action="append",
        default=[],
        metavar="[MODEL=]MS",
        help="budget of each request, sent as its `timeout`, of all models or of one; repeatable; 0: none",
    )
    add("--rows", type=count, default=1, help="of each request; default: 1")
    add("--priority", type=level, default=0, help="default: none")
    add("--input-data", type=Path, metavar="FILE", help="perf_analyzer's JSON; default: random")
    add(
        "--shape",
        action="append",
        type=parse_shape,
        default=[],
        metavar="NAME=1,2,3",
        help="of an input that the server leaves open, without rows; repeatable",
    )


def _add_run(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--seconds", type=positive, default=10.0, help="that are measured; default: %(default)s")
    add("--warmup-s", type=seconds, default=1.0, help="before them; default: %(default)s")
    add("--patience-s", type=seconds, default=30.0, help="for the last answers; default: %(default)s")
    add("--connections", type=connections, default=8, help="default: %(default)s")
    add("--seed", type=level, default=0, help="of arrivals and inputs; default: 0")
    add("--json", type=Path, metavar="FILE", help="write the figures there too")
    add("--plot", type=Path, metavar="FILE", help="write a picture there (PNG, SVG, PDF)")


def positive(text: str) -> float:
    value = seconds(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"'{text}' is not above zero")
    return value


def connections(text: str) -> int:
    value = count(text)
    if value > 256:
        raise argparse.ArgumentTypeError(f"'{text}' is more than 256")
    return value


def slo(text: str) -> tuple[str, float]:
    """`MS` or `MODEL=MS`."""
    name, _, value = text.rpartition("=")
    return name, seconds(value)
