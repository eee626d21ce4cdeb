"""Prepares a kit of models where there is nvcc, and checks a GPU with it where there is one.

python -m benchmarks.gpu prepare KIT [--models a,b] [--precisions tf32] [--arch sm_90] [--without-weights a]
python -m benchmarks.gpu run KIT [--output DIR] [--runs N] [--deadline S] [--serve a,b]
python -m benchmarks.gpu download DIR [--without a,b]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

MODELS = "resnet50,bert"
# Of the packages, those without which not even a kernel can be launched.
NEEDED = {"numpy": "numpy", "google.protobuf": "protobuf"}
NEEDED_TO_PREPARE = {"tvm": "apache-tvm", "onnx": "onnx", "onnxruntime": "onnxruntime", "ziglang": "ziglang"}


def main(argv: Sequence[str] | None = None) -> int:
    """0 if everything was measured and is as it should be."""
    args = _arguments(argv)
    if args.command == "download":
        from benchmarks.gpu.download import download

        return download(args.folder, set(args.without.split(",")), args.python)
    needed = NEEDED if args.command == "run" else {**NEEDED, **NEEDED_TO_PREPARE}
    lacking = [package for module, package in needed.items() if not _is_there(module)]
    if lacking:
        print(
            f"this Python ({sys.executable}) has no {', '.join(lacking)}. Where there is the internet, "
            "`scripts/check-gpu --download DIR` fetches what is needed; then add --wheels DIR",
            file=sys.stderr,
        )
        return 2
    return _prepare(args) if args.command == "prepare" else _run(args)


def _is_there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare")
    prepare.add_argument("kit", type=Path)
    prepare.add_argument("--models", default=MODELS)
    prepare.add_argument("--precisions", default="tf32")
    prepare.add_argument("--arch", default="", help="such as sm_90; default: this machine's GPU")
    prepare.add_argument("--sizes", default="1,2,4,8,16", help="batch sizes")
    prepare.add_argument("--checked", default="1,16", help="those of them that are measured")
    prepare.add_argument("--without-weights", default="", help="models whose weights the kit leaves out")
    run = commands.add_parser("run")
    run.add_argument("kit", type=Path)
    run.add_argument("--output", type=Path, default=Path())
    run.add_argument("--device", type=int, default=0)
    run.add_argument("--runs", type=int, default=20_000, help="INFERs of each batch size, if time allows")
    run.add_argument("--deadline", type=float, default=570.0, help="seconds for everything")
    run.add_argument("--spent", type=float, default=0.0, help="how many of them are over already")
    run.add_argument("--serve", default="resnet50", help="models to ask of a server; empty: none")
    run.add_argument("--tests", nargs="*", default=["tests/gpu"], help="what pytest is given")
    fetch = commands.add_parser("download")
    fetch.add_argument("folder", type=Path)
    fetch.add_argument("--without", default="", help="packages that the machine has already")
    fetch.add_argument("--python", default="3.12", help="the machine's")
    return parser.parse_args(argv)


def _prepare(args: argparse.Namespace) -> int:
    from benchmarks.architectures import NAMES
    from benchmarks.gpu import prepare
    from clockwork_triton.devices import gpu_arch
    from clockwork_triton.errors import ServerError
    from converters.request import PRECISIONS, ConversionError

    names, precisions = args.models.split(","), args.precisions.split(",")
    without = [name for name in args.without_weights.split(",") if name]
    try:
        sizes, checked = _numbers(args.sizes), _numbers(args.checked)
        for what, given, known in (
            ("model", [*names, *without], NAMES),
            ("precision", precisions, PRECISIONS),
            ("batch size to be checked", checked, sizes),
        ):
            if unknown := [str(each) for each in given if each not in known]:
                listed = ", ".join(map(str, known))
                raise ValueError(f"no such {what}: {', '.join(unknown)} (there are {listed})")
        arch = args.arch or gpu_arch()
        for name in names:
            for precision in precisions:
                begin = time.monotonic()
                weights = name not in without
                prepare.write(args.kit, name, sizes, checked, arch, precision, weights=weights)
                print(f"{name} {precision}: {time.monotonic() - begin:.1f} s", flush=True)
    except ServerError as error:
        print(f"{error.message}. --arch names what to prepare for, such as sm_90", file=sys.stderr)
        return 2
    except (ValueError, ConversionError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _numbers(text: str) -> tuple[int, ...]:
    try:
        return tuple(map(int, text.split(",")))
    except ValueError:
        raise ValueError(f"'{text}' is not of the form 1,16") from None


def _run(args: argparse.Namespace) -> int:
    from benchmarks.gpu import kit
    from benchmarks.gpu.check import NothingToCheck, check
    from benchmarks.gpu.tasks import Plan

    try:
        models = kit.read(args.kit)
        names = args.serve.split(",")
        serve = tuple(model.key for model in models if model.name in names)
        with tempfile.TemporaryDirectory(prefix="check-gpu-") as scratch:
            copy = Path(scratch) / "kit"
            kit.copy(args.kit, copy)
            plan = Plan(copy, args.device, args.runs, serve, tuple(args.tests))
            report = check(plan, models, args.output, args.deadline - args.spent)
    except (kit.KitError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    except NothingToCheck as error:
        print(f"there is nothing to check: {error}", file=sys.stderr)
        return 1
    print(report.to_markdown())
    return int(not report.all_met)


if __name__ == "__main__":
    sys.exit(main())
