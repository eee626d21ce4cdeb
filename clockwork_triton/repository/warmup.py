"""`model_warmup`: the requests that a version answers before it is READY."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc.model_config_pb2 import DataType

from clockwork_triton.datatypes import WIRE_TO_NUMPY, itemsize
from clockwork_triton.repository.config import invalid

DIRECTORY = "warmup"
"""Of a model: where its input data files lie."""

LARGEST_BYTES = 256 << 20


@dataclass(frozen=True)
class WarmupSample:
    """`inputs`: by name, the bytes of one row (of the whole tensor where the model does not batch).

    `shapes` of them, without the batch dimension.
    """

    name: str
    rows: int
    count: int
    inputs: Mapping[str, bytes]
    shapes: Mapping[str, tuple[int, ...]]


def warmup_samples(config: Any, directory: Path) -> tuple[WarmupSample, ...]:
    """Those of a completed configuration. ServerError where one is no request of the model."""
    wanted = {tensor.name: tensor for tensor in config.input}
    samples = []
    for sample in config.model_warmup:
        where = f"warmup sample '{sample.name}' of model '{config.name}'"
        if sorted(sample.inputs) != sorted(wanted):
            raise invalid(f"{where} must have the inputs of the model: {', '.join(sorted(wanted))}")
        if sample.batch_size < 1 or sample.batch_size > max(1, config.max_batch_size):
            raise invalid(
                f"{where} must have a batch size in the range [1, {max(1, config.max_batch_size)}], got "
                f"{sample.batch_size}"
            )
        for name, given in sample.inputs.items():
            if given.data_type != wanted[name].data_type or not _fits(given.dims, wanted[name].dims):
                raise invalid(f"{where}: input '{name}' is not of the type and dims that the model has")
        inputs = {name: _content(where, name, given, directory) for name, given in sample.inputs.items()}
        shapes = {name: tuple(given.dims) for name, given in sample.inputs.items()}
        samples.append(
            WarmupSample(sample.name, int(sample.batch_size), max(1, int(sample.count)), inputs, shapes)
        )
    return tuple(samples)


def _fits(dims: Any, wanted: Any) -> bool:
    return len(dims) == len(wanted) and all(
        dim > 0 and model in (-1, dim) for dim, model in zip(dims, wanted, strict=True)
    )


def _content(where: str, name: str, given: Any, directory: Path) -> bytes:
    wire = DataType.Name(given.data_type).removeprefix("TYPE_")
    elements = int(math.prod(given.dims))
    size = None if wire == "STRING" else elements * itemsize(WIRE_TO_NUMPY[wire])
    if (size or elements) > LARGEST_BYTES:
        raise invalid(f"{where}: input '{name}' is larger than {LARGEST_BYTES} bytes")
    source = given.WhichOneof("input_data_type")
    if source == "input_data_file":
        return _file(where, name, given.input_data_file, directory, size)
    if size is None:
        return b"\0\0\0\0" * elements
    if source == "random_data" and wire not in ("BOOL", "BF16"):
        random = np.random.default_rng(0)
        dtype = np.dtype(WIRE_TO_NUMPY[wire])
        # Small whole numbers: they may be indices.
        values = random.random(elements) if dtype.kind == "f" else random.integers(0, 2, elements)
        content: bytes = values.astype(dtype).tobytes()
        return content
    if source is None:
        raise invalid(f"{where}: input '{name}' must have zero_data, random_data or an input_data_file")
    return bytes(size)


def _file(where: str, name: str, filename: str, directory: Path, size: int | None) -> bytes:
    if "/" in filename or "\0" in filename or filename in ("", ".", ".."):
        raise invalid(f"{where}: file name '{filename}' leads out of the model")
    path = directory / DIRECTORY / filename
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise invalid(f"{where}: '{filename}' is larger than {LARGEST_BYTES} bytes")
        content = path.read_bytes()
    except OSError as error:
        raise invalid(f"{where}: failed to read '{filename}': {error.strerror}") from error
    if size is not None and len(content) != size:
        raise invalid(f"{where}: input '{name}' takes {size} bytes, '{filename}' has {len(content)}")
    return content
