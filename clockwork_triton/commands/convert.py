"""`clockwork-triton convert`: ONNX files and model repositories to artifacts."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from clockwork_triton.artifact.cache import default_cache_dir
from clockwork_triton.artifact.manifest import Manifest
from clockwork_triton.commands.model_argument import (
    DEFAULT_MAX_BATCH_SIZE,
    configured_request,
    parse_shape,
)
from clockwork_triton.console import ConversionBars
from clockwork_triton.devices import gpu_arch
from clockwork_triton.errors import ServerError
from clockwork_triton.flag_values import count, level
from clockwork_triton.repository.scan import is_version
from converters.batch import batch_sizes_for
from converters.pool import ConversionPool
from converters.request import PRECISIONS, ConversionError, ConversionRequest


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "models",
        nargs="+",
        type=Path,
        metavar="MODEL",
        help="an ONNX file, a model directory as in a repository, or a repository",
    )
    add("--output", type=Path, help="also put each artifact into this directory, under the model's name")
    add("--artifact-cache", type=Path, default=default_cache_dir(), help="default: %(default)s")
    add("--target", choices=("cpu", "cuda"), default="cpu")
    add("--arch", default="", help="an LLVM CPU name or sm_XX; default: this machine's")
    add(
        "--max-batch-size",
        type=level,
        help="of an ONNX file; default: 16 where all its tensors have an open first dimension, else 0",
    )
    add(
        "--shape",
        action="append",
        type=parse_shape,
        default=[],
        metavar="NAME=1,2,3",
        help="shape of an input that an ONNX file leaves open, without the batch dimension; repeatable",
    )
    add(
        "--precision",
        choices=PRECISIONS,
        help="of products on a GPU; default: what the model's configuration says, or " + PRECISIONS[0],
    )
    add("--threads", type=count, default=1, help="threads that a kernel uses; default: %(default)s")
    add("--tune", choices=("off", "fast", "search"), default="off", help="default: %(default)s")
    add("--jobs", type=count, default=1, help="models converted at once; default: %(default)s")


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="clockwork-triton convert", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


@dataclass(frozen=True)
class Converted:
    """What became of one model: an artifact or an error."""

    name: str
    artifact: Path | None
    error: str = ""


def run(args: argparse.Namespace) -> int:
    """Converts every model; 1 if one could not be."""
    results = asyncio.run(_convert_all(args))
    Console().print(_table(results))
    return int(any(result.artifact is None for result in results))


async def _convert_all(args: argparse.Namespace) -> list[Converted]:
    paths = [path for given in args.models for path in models_in(given)]
    async with ConversionPool(args.artifact_cache, processes=args.jobs) as pool:
        with ConversionBars() as bars:
            return list(await asyncio.gather(*(_convert(args, path, pool, bars) for path in paths)))


async def _convert(
    args: argparse.Namespace, path: Path, pool: ConversionPool, progress: ConversionBars
) -> Converted:
    name = model_name(path)
    try:
        artifact = await pool.convert(await _request(args, path, pool), progress)
        return Converted(name, artifact if args.output is None else _place(artifact, args.output / name))
    except (ConversionError, ServerError) as error:
        return Converted(name, None, str(error))


def models_in(path: Path) -> Iterator[Path]:
    """The models that an argument stands for: itself, or those of the repository it is."""
    if not path.is_dir() or _is_model(path):
        yield path
        return
    models = sorted(child for child in path.iterdir() if child.is_dir() and _is_model(child))
    yield from models or [path]


def _is_model(directory: Path) -> bool:
    return (directory / "model.onnx").is_file() or any(is_version(p.name) for p in directory.iterdir())


def model_name(path: Path) -> str:
    return path.resolve().name if path.is_dir() else path.stem


async def _request(args: argparse.Namespace, path: Path, pool: ConversionPool) -> ConversionRequest:
    if path.is_dir() and not (path / "model.onnx").is_file():
        request = await configured_request(path, pool)
    else:
        onnx = path / "model.onnx" if path.is_dir() else path
        limit = args.max_batch_size
        if limit is None:
            limit = DEFAULT_MAX_BATCH_SIZE if (await pool.inspect(onnx)).batches else 0
        shapes = dict(args.shape)
        request = ConversionRequest(onnx, model_name(path), limit, batch_sizes_for(limit), shapes)
    arch = args.arch or (_arch_here() if args.target == "cuda" else "")
    precision = args.precision or request.precision
    return replace(
        request, target=args.target, arch=arch, threads=args.threads, tune=args.tune, precision=precision
    )


def _arch_here() -> str:
    """That of this machine's GPU. ConversionError if there is none."""
    try:
        return gpu_arch()
    except ServerError as error:
        raise ConversionError(f"{error.message}; name an architecture, such as --arch sm_90") from error


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


def _table(results: Sequence[Converted]) -> Table:
    table = Table("model", "batch sizes", "weights", "workspace", "artifact")
    for result in results:
        if result.artifact is None:
            table.add_row(result.name, "", "", "", f"[red]{result.error}")
            continue
        manifest = Manifest.read(result.artifact)
        sizes = ", ".join(map(str, manifest.batch_sizes))
        weights, workspace = (f"{n / 1e6:.1f} MB" for n in (manifest.weight_bytes, manifest.workspace_bytes))
        table.add_row(result.name, sizes, weights, workspace, str(result.artifact))
    return table
