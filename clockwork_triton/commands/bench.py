"""`clockwork-triton bench`: loads a server and says what it made of it."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from clockwork_triton.bench import report
from clockwork_triton.bench.ledger import Outcome
from clockwork_triton.bench.models import BenchError, Described, describe
from clockwork_triton.bench.plan import Plan
from clockwork_triton.bench.requests import random_rows, read_rows
from clockwork_triton.bench.run import Settings
from clockwork_triton.bench.run import run as drive
from clockwork_triton.bench.summary import Summary
from clockwork_triton.commands.bench_arguments import parser


def main(argv: Sequence[str]) -> int:
    return run(parser().parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Asks, drives, prints and writes. 1 if it could not begin, or if nothing was answered."""
    try:
        described = describe(args.url, args.models, dict(args.shape))
        plan = plan_of(args, [model.name for model in described.models])
        summary = _load(args, described, plan)
    except BenchError as error:
        print(f"clockwork-triton bench: {error}", file=sys.stderr)
        return 1
    names = [model.name for model in described.models]
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(f"{described.server} at {args.url}: {plan.kind}, {args.seconds:g} s", highlight=False)
    console.print(report.table(names, summary))
    for line in report.remarks(summary):
        console.print(line, highlight=False, markup=False)
    if args.json is not None:
        document = report.document(_run_of(args, described, plan), names, summary)
        args.json.write_text(json.dumps(document, indent=2) + "\n")
    if args.plot is not None:
        _plot(args, described, plan, summary)
    return 0 if summary.total.counts[Outcome.LOST] < summary.total.sent else 1


def plan_of(args: argparse.Namespace, names: Sequence[str]) -> Plan:
    """BenchError for an SLO of a model that is not asked."""
    own = {name: ms for name, ms in args.slo_ms if name}
    if unknown := sorted(set(own) - set(names)):
        raise BenchError(f"--slo-ms for {', '.join(unknown)}, which is not asked")
    common = next((ms for name, ms in reversed(args.slo_ms) if not name), 0.0)
    slos_ns = [round(own.get(name, common) * 1e6) or None for name in names]
    kind = args.workload or ("closed-loop" if args.rate is None else "poisson")
    return Plan(
        kind,
        slos_ns,
        **{
            name: getattr(args, name) for name in Plan.__dataclass_fields__ if name not in ("kind", "slos_ns")
        },
    )


def _load(args: argparse.Namespace, described: Described, plan: Plan) -> Summary:
    rows = [
        random_rows(model, args.seed) if args.input_data is None else read_rows(args.input_data, model)
        for model in described.models
    ]
    settings = Settings(
        args.url,
        args.seconds,
        args.warmup_s,
        args.patience_s,
        args.connections,
        args.seed,
        sys.stderr if sys.stderr.isatty() else None,
    )
    return drive(settings, described.models, rows, plan).summary()


def _run_of(args: argparse.Namespace, described: Described, plan: Plan) -> dict[str, Any]:
    values = {name: getattr(plan, name) for name in Plan.__dataclass_fields__}
    values |= {"trace": None if plan.trace is None else str(plan.trace), "slos_ns": list(plan.slos_ns)}
    settings = ("seconds", "warmup_s", "connections", "seed")
    return {"server": described.server, **values, **{name: getattr(args, name) for name in settings}}


def _plot(args: argparse.Namespace, described: Described, plan: Plan, summary: Summary) -> None:
    slos = set(plan.slos_ns)
    slo_ns = slos.pop() if len(slos) == 1 else None
    try:
        from clockwork_triton.bench.plot import plot

        plot(f"{described.server}, {plan.kind}", summary, slo_ns and slo_ns / 1e6, args.plot)
    except ImportError:
        print("clockwork-triton bench: a plot needs matplotlib (extra: plot)", file=sys.stderr)
