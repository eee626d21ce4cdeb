"""Prepares a kit of models where there is nvcc, and checks a GPU with it where there is one.

python -m benchmarks.gpu prepare KIT [--models a,b] [--precisions tf32] [--arch sm_90] [--without-weights a]
python -m benchmarks.gpu run KIT [--output DIR] [--runs N] [--seconds S] [--serve a,b]
"""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.gpu import kit, pytorch
from benchmarks.gpu.measure import ModelResult, measure
from benchmarks.gpu.report import Report, torch_key
from clockwork_triton.doctor.checks import examine
from clockwork_triton.doctor.facts import gather
from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.cuda.driver import CudaError
from clockwork_triton.worker.cuda.libcuda import LibCuda, facts
from clockwork_triton.worker.process import prepare_environment

MODELS = "resnet50,bert"
ROOT = Path(__file__).resolve().parents[2]
TESTS = ("tests/gpu", "tests/worker/cuda")


def main(argv: Sequence[str] | None = None) -> int:
    """0 if all that could be checked is as it should be."""
    args = _arguments(argv)
    return _prepare(args) if args.command == "prepare" else _run(args)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks.gpu", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare")
    prepare.add_argument("kit", type=Path)
    prepare.add_argument("--models", default=MODELS)
    prepare.add_argument("--precisions", default="tf32")
    prepare.add_argument("--arch", default="sm_90")
    prepare.add_argument("--batches", default="1,16")
    prepare.add_argument("--without-weights", default="", help="models whose weights the kit leaves out")
    run = commands.add_parser("run")
    run.add_argument("kit", type=Path)
    run.add_argument("--output", type=Path, default=Path())
    run.add_argument("--device", type=int, default=0)
    run.add_argument("--runs", type=int, default=20_000, help="of each batch size")
    run.add_argument("--seconds", type=float, default=100.0, help="at most, for each batch size")
    run.add_argument("--serve", default="resnet50", help="models to ask of a server; empty: none")
    return parser.parse_args(argv)


def _prepare(args: argparse.Namespace) -> int:
    batches = tuple(map(int, args.batches.split(",")))
    without = args.without_weights.split(",")
    for name in args.models.split(","):
        for precision in args.precisions.split(","):
            begin = time.monotonic()
            kit.write(args.kit, name, batches, args.arch, precision, weights=name not in without)
            print(f"{name} {precision}: {time.monotonic() - begin:.1f} s", flush=True)
    return 0


def _run(args: argparse.Namespace) -> int:
    try:
        machine = _machine(args.device)
    except CudaError as error:
        print(f"there is nothing to check: {error}", file=sys.stderr)
        return 1
    prepare_environment()
    notes: list[str] = []
    results: list[ModelResult] = []
    torch_us: dict[str, dict[str, float]] = {}
    for model in kit.read(args.kit):
        try:
            result = measure(model, lambda: LibCuda(args.device), args.runs, args.seconds)
        except Exception as error:
            notes.append(f"{model.name} {model.precision}: {type(error).__name__}: {error}")
            continue
        results.append(result)
        for batch in model.batches:
            try:
                torch_us[torch_key(result, batch)] = pytorch.best_us(model.name, batch, model.precision)
            except Exception as error:
                notes.append(f"{model.name} in PyTorch: {type(error).__name__}: {error}")
    serving = _serve(args, notes)
    findings = [
        {**asdict(found), "verdict": found.verdict.value}
        for found in examine(gather(lambda: None, Nvml.open()))
        if found.subject != "nvcc"
    ]
    tests, well = _tests(notes)
    report = Report(
        machine, findings, tuple(results), torch_us, serving, tests, tests_passed=well, notes=tuple(notes)
    )
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "gpu-report.json").write_text(report.to_json())
    (args.output / "gpu-report.md").write_text(report.to_markdown() + "\n")
    print(report.to_markdown())
    return int(not results or not all(verdict.met for verdict in report.verdicts()))


def _machine(device: int) -> dict[str, Any]:
    gpu = facts(device)
    nvml = Nvml.open()
    driver = nvml.driver_version if nvml is not None else "unknown"
    return {
        "GPU": gpu.name,
        "compute capability": ".".join(map(str, gpu.capability)),
        "multiprocessors": gpu.multiprocessors,
        "memory": f"{gpu.memory_bytes >> 20} MiB",
        "driver": driver,
        "Python": sys.version.split()[0],
    }


def _serve(args: argparse.Namespace, notes: list[str]) -> list[dict[str, Any]]:
    names = [name for name in args.serve.split(",") if name]
    missing = [
        name for name in ("tvm", "grpc", "tritonclient", "onnx") if importlib.util.find_spec(name) is None
    ]
    if not names:
        return []
    if missing:
        notes.append(f"the server end to end: {', '.join(missing)} is not there")
        return []
    from benchmarks.gpu.serving import serve

    with tempfile.TemporaryDirectory() as scratch:
        try:
            return serve(names, "tf32", Path(scratch), Path(scratch) / "artifacts")
        except Exception as error:
            notes.append(f"the server end to end: {type(error).__name__}: {error}")
            return []


def _tests(notes: list[str]) -> tuple[str, bool]:
    """The last line of pytest, and whether all is well."""
    if importlib.util.find_spec("pytest") is None:
        notes.append("the tests: pytest is not there")
        return "", True
    there = [path for path in TESTS if (ROOT / path).exists()]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *there]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    last = (done.stdout.strip().splitlines() or [done.stderr.strip()[-200:]])[-1]
    return last, done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
