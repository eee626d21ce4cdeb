"""A model repository of a kit's models, and a cache in which the server finds them converted."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.gpu.kit import Model, link_or_copy
from benchmarks.gpu.weights import PACKED
from clockwork_triton.artifact import Manifest
from clockwork_triton.artifact.expectation import FILENAME
from clockwork_triton.commands.model_argument import configured_request
from clockwork_triton.devices import request_for
from converters.key import key_of, origin
from converters.pool import ConversionPool

CONFIG = """backend: "onnxruntime"
max_batch_size: %d
parameters { key: "precision" value { string_value: "%s" } }
"""


def served_name(model: Model) -> str:
    return model.folder.name


def write(models: Sequence[Model], device: str, scratch: Path) -> tuple[Path, Path]:
    """The repository and the cache, below `scratch`. ServerError or ConversionError if the server could not
    read them either."""
    repository, cache = scratch / "repository", scratch / "artifacts"
    know_compiler(Manifest.read(models[0].artifact).origin["tvm"], scratch / "compiler")
    cache.mkdir(parents=True)
    for model in models:
        directory = repository / served_name(model)
        (directory / "1").mkdir(parents=True)
        shutil.copy2(model.folder / "signature.onnx", directory / "1" / "model.onnx")
        largest = max(Manifest.read(model.artifact).batch_sizes)
        (directory / "config.pbtxt").write_text(CONFIG % (largest, model.precision))
        key = asyncio.run(_key(directory, device, cache))
        shutil.copytree(
            model.artifact,
            cache / key,
            copy_function=link_or_copy,
            ignore=shutil.ignore_patterns(*_left_out(model)),
        )
    return repository, cache


async def _key(directory: Path, device: str, cache: Path) -> str:
    """By which the server looks for the model's artifact."""
    async with ConversionPool(cache, processes=1) as pool:
        request = await configured_request(directory, pool)
    return key_of(origin(request_for(replace(request, threads=1), device)))


def _left_out(model: Model) -> tuple[str, ...]:
    """With random weights nothing comes out as expected."""
    return (PACKED,) if model.weights else (PACKED, FILENAME)


def know_compiler(compiler: str, folder: Path) -> None:
    """Has this process and its children know the version of TVM, which is a part of keys, where there is no
    TVM: nothing of it is run for a model that is converted."""
    try:
        version("apache-tvm")
    except PackageNotFoundError:
        about = folder / f"apache_tvm-{compiler}.dist-info"
        about.mkdir(parents=True)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: apache-tvm\nVersion: {compiler}\n")
        sys.path.append(str(folder))
        inherited = os.environ.get("PYTHONPATH")
        os.environ["PYTHONPATH"] = f"{inherited}{os.pathsep}{folder}" if inherited else str(folder)
