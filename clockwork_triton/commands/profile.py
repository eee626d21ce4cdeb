"""`clockwork-triton profile`: how long a model takes, measured with the worker's own code."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from clockwork_triton.artifact import Distribution, Manifest, Profile
from clockwork_triton.artifact.cache import default_cache_dir
from clockwork_triton.artifact.expectation import Expectation
from clockwork_triton.commands.model_argument import find_artifact, parse_shape, parse_sizes
from clockwork_triton.console import ConversionBars
from clockwork_triton.errors import ServerError
from clockwork_triton.flag_values import count
from clockwork_triton.verification import verify
from clockwork_triton.worker.device import UnsuitableModel
from clockwork_triton.worker.process import prepare_environment
from converters.pool import ConversionPool
from converters.request import ConversionError

EMULATED = "emulated:"
"""Such a device takes the time and computes nothing."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model", type=Path, help="an ONNX file, a model directory as in a repository, or an artifact"
    )
    parser.add_argument(
        "--batch-sizes", type=parse_sizes, default=(), metavar="1,8", help="default: all it is served with"
    )
    parser.add_argument("--runs", type=count, default=100, help="of each batch size; default: %(default)s")
    parser.add_argument(
        "--device", default="cpu:0", help="cpu:N, cuda:N or emulated:KIND; default: %(default)s"
    )
    parser.add_argument(
        "--shape",
        action="append",
        type=parse_shape,
        default=[],
        metavar="NAME=1,2,3",
        help="shape of an input that an ONNX file leaves open, without the batch dimension; repeatable",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    parser.add_argument(
        "--save", action="store_true", help="keep the profile in the artifact, for servers and emulation"
    )
    parser.add_argument(
        "--artifact-cache", type=Path, default=default_cache_dir(), help="default: %(default)s"
    )


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="clockwork-triton profile", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run(args: argparse.Namespace) -> int:
    """Converts if need be, measures, prints and writes; the exit status."""
    prepare_environment()
    try:
        artifact = asyncio.run(_artifact(args))
        sizes = args.batch_sizes or Manifest.read(artifact).batch_sizes
        profile = _measure(artifact, args.device, sizes, args.runs)
    except (ConversionError, ServerError, UnsuitableModel, ValueError, OSError) as error:
        print(f"clockwork-triton profile: {args.model}: {error}", file=sys.stderr)
        return 1
    name = Manifest.read(artifact).name
    Console().print(_table(name, profile))
    if args.json is not None:
        args.json.write_text(json.dumps(_document(name, profile), indent=2) + "\n")
    if args.save:
        profile.write(artifact)
    return 0


async def _artifact(args: argparse.Namespace) -> Path:
    async with ConversionPool(args.artifact_cache) as pool:
        with ConversionBars() as bars:
            return await find_artifact(
                args.model,
                pool,
                batch_sizes=args.batch_sizes,
                shapes=dict(args.shape),
                device=args.device,
                progress=bars,
            )


def _measure(artifact: Path, device: str, sizes: Sequence[int], runs: int) -> Profile:
    from clockwork_triton.worker.profiler import measure, rounds, subject

    async def ask(size: int, inputs: Sequence[bytes]) -> Sequence[bytes]:
        measured.feed(size, inputs)
        measured.infer(size)
        return measured.outputs(size)

    console = Console(stderr=True)
    with (
        Progress(console=console, transient=True, disable=not console.is_terminal) as bars,
        subject(artifact, device) as measured,
    ):
        bar = bars.add_task("measuring", total=rounds(runs))
        profile = measure(measured, sizes, runs, lambda: bars.advance(bar))
        manifest = Manifest.read(artifact)
        expectation = Expectation.read(artifact, manifest)
        if expectation is not None and not device.startswith(EMULATED):
            found = asyncio.run(verify(ask, manifest, expectation, profile.device_kind))
            console.print(f"computes what {expectation.reference} says: largest difference {found:.1e}")
        return profile


def _table(name: str, profile: Profile) -> Table:
    clock = f" at {profile.clock_mhz} MHz" if profile.clock_mhz else ""
    table = Table(title=f"{name} on {profile.device_kind}{clock}")
    for heading in ("", "runs", "p50 ms", "p99 ms", "max ms", "p50 ms a row"):
        table.add_column(heading, justify="right" if heading else "left")
    for size, times in profile.infer.items():
        table.add_row(f"INFER, batch size {size}", *_cells(times), f"{times.p50_ns / 1e6 / size:.3f}")
    table.add_row("LOAD", *_cells(profile.load), "")
    return table


def _cells(times: Distribution) -> tuple[str, ...]:
    return (str(times.count), *(f"{ns / 1e6:.3f}" for ns in (times.p50_ns, times.p99_ns, times.max_ns)))


def _document(name: str, profile: Profile) -> dict[str, object]:
    return {
        "model": name,
        "device": profile.device_kind,
        "clock_mhz": profile.clock_mhz,
        "load_ms": profile.load.p50_ns / 1e6,
        "batch": {
            str(size): {
                "p50_ms": times.p50_ns / 1e6,
                "p99_ms": times.p99_ns / 1e6,
                "max_ms": times.max_ns / 1e6,
            }
            for size, times in profile.infer.items()
        },
    }
