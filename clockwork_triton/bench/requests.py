"""Requests, serialised once, so that sending them costs little."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tritonclient.grpc import service_pb2

from clockwork_triton.bench.models import BenchError, Input, Model
from clockwork_triton.datatypes import WIRE_TO_NUMPY, itemsize

VARIANTS = 16
VARIANT_BYTES = 8 << 20
"""So many different inputs a model is asked with, as far as they fit into so many bytes."""

Row = Mapping[str, bytes]
"""One row of every input, as the protocol carries it."""


def serialise(
    model: str,
    tensors: Mapping[str, tuple[str, Sequence[int], bytes]],
    timeout_us: int | None = None,
    priority: int = 0,
) -> bytes:
    """A ModelInferRequest. `tensors`: datatype, shape and bytes of each input."""
    message = service_pb2.ModelInferRequest(model_name=model)
    for name, (datatype, shape, content) in tensors.items():
        message.inputs.add(name=name, datatype=datatype, shape=shape)
        message.raw_input_contents.append(content)
    if timeout_us is not None:
        message.parameters["timeout"].int64_param = timeout_us
    if priority:
        message.parameters["priority"].uint64_param = priority
    data: bytes = message.SerializeToString()
    return data


class RequestBook:
    """Every request that a run can need. `rows` of a model: what it is asked with, in turn."""

    def __init__(self, models: Sequence[Model], rows: Sequence[Sequence[Row]]) -> None:
        self._models = models
        self._rows = rows
        self._made: dict[tuple[int, int | None, int, int], list[bytes]] = {}
        self._turn = 0

    def get(self, model_id: int, slo_ns: int | None, rows: int, priority: int) -> bytes:
        """The SLO rides in the `timeout` parameter, in whole microseconds."""
        key = (model_id, slo_ns, rows, priority)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._make(*key)
        self._turn += 1
        return made[self._turn % len(made)]

    def _make(self, model_id: int, slo_ns: int | None, rows: int, priority: int) -> list[bytes]:
        model, sets = self._models[model_id], self._rows[model_id]
        timeout_us = None if slo_ns is None else max(1, slo_ns // 1000)
        requests = []
        for first in range(len(sets)):
            chosen = [sets[(first + n) % len(sets)] for n in range(rows)]
            tensors = {
                each.name: (
                    each.datatype,
                    (rows, *each.shape) if each.rows_first else each.shape,
                    b"".join(row[each.name] for row in (chosen if each.rows_first else chosen[:1])),
                )
                for each in model.inputs
            }
            requests.append(serialise(model.name, tensors, timeout_us, priority))
        return requests


def random_rows(model: Model, seed: int) -> list[Row]:
    """Standard normal floats; zeros and ones, which every mask and index allows; digits as text."""
    generator = np.random.default_rng(seed)
    first = {each.name: _random(each, generator) for each in model.inputs}
    count = min(VARIANTS, max(1, VARIANT_BYTES // max(1, sum(map(len, first.values())))))
    return [
        first,
        *({each.name: _random(each, generator) for each in model.inputs} for _ in range(count - 1)),
    ]


def _random(each: Input, generator: np.random.Generator) -> bytes:
    if each.datatype not in WIRE_TO_NUMPY:
        raise BenchError(f"'{each.name}' has the unknown datatype '{each.datatype}'")
    if each.datatype == "BYTES":
        digits = generator.integers(0, 10, math.prod(each.shape))
        return b"".join(b"\1\0\0\0%d" % digit for digit in digits)
    if each.datatype == "BF16":
        return (
            (generator.standard_normal(each.shape, dtype=np.float32).view(np.uint32) >> 16)
            .astype(np.uint16)
            .tobytes()
        )
    dtype = np.dtype(WIRE_TO_NUMPY[each.datatype])
    if dtype.kind == "f":
        return generator.standard_normal(each.shape).astype(dtype).tobytes()
    return generator.integers(0, 2, each.shape).astype(dtype).tobytes()


def read_rows(path: Path, model: Model) -> list[Row]:
    """perf_analyzer's JSON: {"data": [{"INPUT0": {"content": [..]} or {"b64": ".."} or [..]}, ..]}, an entry
    a row. BenchError."""
    try:
        entries = json.loads(path.read_text())["data"]
        rows: list[Row] = [
            {each.name: _value(entry[each.name], each) for each in model.inputs} for entry in entries
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BenchError(f"{path}: no input data for {model.name}: {error!r}") from None
    if not rows:
        raise BenchError(f"{path}: no input data")
    return rows


def _value(value: Any, each: Input) -> bytes:
    if isinstance(value, dict) and "b64" in value:
        data = base64.b64decode(value["b64"], validate=True)
    else:
        content = value["content"] if isinstance(value, dict) else value
        if each.datatype in ("BYTES", "BF16"):
            raise ValueError(f"'{each.name}' of datatype {each.datatype} must be given in base64")
        data = np.asarray(content, dtype=WIRE_TO_NUMPY[each.datatype]).tobytes()
    if each.datatype != "BYTES":
        wanted = math.prod(each.shape) * itemsize(WIRE_TO_NUMPY[each.datatype])
        if len(data) != wanted:
            raise ValueError(f"'{each.name}' takes {wanted} bytes a row, not {len(data)}")
    return data
