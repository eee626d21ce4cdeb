"""`clockwork-triton convert`: ONNX files to artifacts."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from clockwork_triton.artifact.cache import default_cache_dir
from clockwork_triton.artifact.manifest import Manifest
from converters.batch import batch_sizes_for
from converters.pool import ConversionPool
from converters.request import ConversionError, ConversionRequest
from converters.request import Progress as Stage

DEFAULT_MAX_BATCH_SIZE = 16


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "models", nargs="+", type=Path, metavar="MODEL", help="an ONNX file, or a directory with a model.onnx"
    )
    parser.add_argument(
        "--output", type=Path, help="also put each artifact into this directory, under the model's name"
    )
    parser.add_argument(
        "--artifact-cache", type=Path, default=default_cache_dir(), help="default: %(default)s"
    )
    parser.add_argument("--target", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--arch", default="", help="an LLVM CPU name or sm_XX; default: this machine's")
    parser.add_argument(
        "--max-batch-size",
        type=int,
        help="default: 16 for a model whose tensors all have an open first dimension, else 0",
    )
    parser.add_argument(
        "--shape",
        action="append",
        type=parse_shape,
        default=[],
        metavar="NAME=1,2,3",
        help="an input's shape, without the batch dimension; repeatable",
    )
    parser.add_argument("--threads", type=int, default=1, help="threads a kernel uses; default: 1")
    parser.add_argument("--tune", choices=("off", "fast", "search"), default="off")
    parser.add_argument("--jobs", type=int, default=1, help="models converted at once; default: 1")


def parse_shape(text: str) -> tuple[str, tuple[int, ...]]:
    """`NAME=1,2,3`; nothing after the `=` is a scalar."""
    name, equals, dims = text.rpartition("=")
    try:
        shape = tuple(int(dim) for dim in dims.split(",") if dim)
    except ValueError:
        shape = (0,)
    if not equals or not name or any(dim < 1 for dim in shape):
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form NAME=1,2,3")
    return name, shape


@dataclass(frozen=True)
class Converted:
    """What became of one model: an artifact or an error."""

    name: str
    artifact: Path | None
    error: str = ""


def run(args: argparse.Namespace) -> int:
    """Converts every model; 1 if one could not be."""
    console = Console()
    results = asyncio.run(_convert_all(args, console))
    table = Table("model", "batch sizes", "weights", "workspace", "artifact")
    for result in results:
        if result.artifact is None:
            table.add_row(result.name, "", "", "", f"[red]{result.error}")
        else:
            manifest = Manifest.read(result.artifact)
            sizes = ", ".join(map(str, manifest.batch_sizes))
            table.add_row(
                result.name,
                sizes,
                _mb(manifest.weight_bytes),
                _mb(manifest.workspace_bytes),
                str(result.artifact),
            )
    console.print(table)
    return int(any(result.artifact is None for result in results))


async def _convert_all(args: argparse.Namespace, console: Console) -> list[Converted]:
    pool = ConversionPool(args.artifact_cache, processes=args.jobs)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[model]}"),
        BarColumn(),
        TextColumn("{task.description}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as bars:

        async def one(path: Path) -> Converted:
            name, onnx = locate(path)
            bar = bars.add_task("waiting", model=name, total=1)

            def show(stage: Stage) -> None:
                bars.update(bar, description=stage.stage, completed=stage.done, total=stage.total)

            try:
                artifact = await _convert(pool, args, name, onnx, show)
            except ConversionError as error:
                bars.update(bar, description="[red]failed")
                return Converted(name, None, str(error))
            return Converted(name, artifact)

        return list(await asyncio.gather(*map(one, args.models)))


async def _convert(
    pool: ConversionPool, args: argparse.Namespace, name: str, onnx: Path, show: Callable[[Stage], None]
) -> Path:
    max_batch_size = args.max_batch_size
    if max_batch_size is None:
        max_batch_size = DEFAULT_MAX_BATCH_SIZE if (await pool.inspect(onnx)).batches else 0
    request = ConversionRequest(
        onnx=onnx,
        name=name,
        max_batch_size=max_batch_size,
        batch_sizes=batch_sizes_for(max_batch_size),
        shapes=dict(args.shape),
        target=args.target,
        arch=args.arch,
        threads=args.threads,
        tune=args.tune,
    )
    artifact = await pool.convert(request, show)
    return artifact if args.output is None else _place(artifact, args.output / name)


def locate(path: Path) -> tuple[str, Path]:
    """A model's name and file: the file itself, or `model.onnx` in a directory or its greatest version."""
    if not path.is_dir():
        return path.stem, path
    versions = sorted((p for p in path.iterdir() if p.name.isdigit()), key=lambda p: int(p.name))
    candidates = [path, *reversed(versions)]
    onnx = next((d / "model.onnx" for d in candidates if (d / "model.onnx").is_file()), path / "model.onnx")
    return path.resolve().name, onnx


def _place(artifact: Path, target: Path) -> Path:
    """Puts the artifact at `target`, in the place of an older one; files are linked where they can be."""
    if target.exists():
        if not (target / "manifest.json").is_file():
            raise ConversionError(f"{target} exists and is not an artifact")
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(artifact, target, copy_function=_link)
    return target


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _mb(size: int) -> str:
    return f"{size / 1e6:.1f} MB"
