"""What a MODEL on the command line stands for: an artifact, a model directory or an ONNX file."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from clockwork_triton.artifact import Manifest
from clockwork_triton.devices import request_for
from clockwork_triton.loader import conversion_request
from clockwork_triton.repository.plan import ConfigOptions, onnx_path, plan_model, prepare_version
from clockwork_triton.repository.scan import is_version
from converters.batch import batch_sizes_for
from converters.pool import ConversionPool
from converters.request import ConversionError, ConversionRequest, Progress

DEFAULT_MAX_BATCH_SIZE = 16


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


def parse_sizes(text: str) -> tuple[int, ...]:
    """`1,8`: positive numbers, which come out ascending and once each."""
    try:
        sizes = {int(size) for size in text.split(",")}
    except ValueError:
        sizes = {0}
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not of the form 1,8")
    return tuple(sorted(sizes))


async def find_artifact(
    path: Path,
    pool: ConversionPool,
    *,
    batch_sizes: Sequence[int] = (),
    shapes: Mapping[str, tuple[int, ...]],
    device: str = "cpu:0",
    progress: Callable[[Progress], None],
) -> Path:
    """The artifact at `path`, or the one that the model there is converted to for the device.

    `batch_sizes` empty: those the model would be served with. `shapes` are for inputs that an ONNX file
    leaves open; a model directory's configuration tells them. ConversionError or ServerError with the reason
    if there is none.
    """
    if (path / "manifest.json").is_file():
        present = Manifest.read(path).batch_sizes
        if missing := sorted(set(batch_sizes) - set(present)):
            raise ConversionError(f"the artifact has batch sizes {_text(present)}, but not {_text(missing)}")
        return path
    if path.is_dir():
        request = await configured_request(path, pool)
    else:
        batches = (await pool.inspect(path)).batches
        limit = max(batch_sizes, default=DEFAULT_MAX_BATCH_SIZE) if batches else 0
        request = ConversionRequest(path, path.stem, limit, batch_sizes_for(limit), shapes)
    if batch_sizes:
        if batch_sizes[-1] > max(1, request.max_batch_size):
            limit = request.max_batch_size
            raise ConversionError(
                f"the model has max_batch_size {limit}, batch size {batch_sizes[-1]} is more"
            )
        request = replace(request, batch_sizes=tuple(batch_sizes))
    return await pool.convert(request_for(request, device), progress)


async def configured_request(directory: Path, pool: ConversionPool) -> ConversionRequest:
    """The conversion of a model directory's latest version, as its configuration has it. ServerError."""
    versions = [int(path.name) for path in directory.iterdir() if is_version(path.name)]
    options = ConfigOptions()
    plan = plan_model(directory.resolve().name, directory, versions, options)
    version = plan.versions[-1]
    signature = await pool.inspect(onnx_path(plan, version))
    return conversion_request(prepare_version(plan, version, signature, options).source)


def _text(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
