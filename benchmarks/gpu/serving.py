"""The server end to end on a GPU, under Triton's own load generator."""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.gpu import repository
from benchmarks.gpu.kit import Model
from benchmarks.gpu.results import Failure, Served
from benchmarks.serving import actions, perf_analyzer
from benchmarks.serving.server import Server, Setup
from clockwork_triton.artifact import Manifest

CONCURRENCIES = (1, 16)
REQUESTS = 400
"""Of each of the windows that perf_analyzer measures."""
LEAST_S = 10.0
"""That one of its runs may need."""


def serve(models: Sequence[Model], device: int, until: float) -> Iterator[Served | Failure]:
    """What perf_analyzer measures of each model at some concurrencies. RuntimeError if the server does not
    come up."""
    if error := perf_analyzer.trouble():
        yield Failure("serving", error)
        return
    if not models:
        yield Failure("serving", "the kit has none of the models that were to be served")
        return
    scratch = Path(tempfile.mkdtemp())
    folder, cache = repository.write(models, f"cuda:{device}", scratch)
    command = [sys.executable, "-m", "clockwork_triton.cli", "serve"]
    setup = Setup(command, scratch, cache, scratch, patience_s=until - time.monotonic())
    alone: list[tuple[Model, perf_analyzer.Measurement, int, int]] = []
    with setup.serve(folder, "--device", f"cuda:{device}") as server:
        for model in models:
            for concurrency in CONCURRENCIES:
                step = f"serving {model.key}"
                if time.monotonic() > until - LEAST_S:
                    yield Failure(step, f"there was no time left for concurrency {concurrency}")
                    continue
                begin_ns = time.monotonic_ns()
                found = _ask(server, model, concurrency, scratch, until)
                if found.error:
                    yield Failure(step, f"perf_analyzer at concurrency {concurrency}: {found.error}")
                elif concurrency == 1:
                    alone.append((model, found, begin_ns, time.monotonic_ns()))
                else:
                    yield _served(model, concurrency, found, None)
    # The log is whole when the server has ended.
    records = server.actions()
    for model, found, begin_ns, end_ns in alone:
        execution = execution_ms(records, repository.served_name(model), begin_ns, end_ns)
        if execution is None:
            yield Failure(f"serving {model.key}", "the action log has none of its INFERs")
        yield _served(model, 1, found, execution)


def _ask(
    server: Server, model: Model, concurrency: int, scratch: Path, until: float
) -> perf_analyzer.Measurement:
    data = scratch / f"{repository.served_name(model)}.json"
    if not data.exists():
        data.write_text(json.dumps({"data": [_row(Manifest.read(model.artifact))]}))
    flags = ("--measurement-request-count", str(REQUESTS))
    return perf_analyzer.measure(
        server.address,
        repository.served_name(model),
        data,
        concurrency,
        scratch,
        *flags,
        patience_s=until - time.monotonic(),
    )


def _served(
    model: Model, concurrency: int, found: perf_analyzer.Measurement, execution: float | None
) -> Served:
    return Served(model.key, concurrency, found.throughput, found.p50_ms, found.p99_ms, execution)


def execution_ms(records: Sequence[actions.Record], name: str, begin_ns: int, end_ns: int) -> float | None:
    """The median of the INFERs that answered single requests between two times on the server's clock, of the
    model that is called `name`."""
    alone = [
        record.measured_ns
        for record in actions.served(records, name)
        if record.requests == 1 and begin_ns <= record.begin_ns <= end_ns
    ]
    return float(np.median(alone)) / 1e6 if alone else None


def _row(manifest: Manifest) -> dict[str, Any]:
    """One row of input, as perf_analyzer reads it."""
    random = np.random.default_rng(0)
    row: dict[str, Any] = {}
    for tensor in manifest.inputs:
        floats = tensor.dtype.startswith("float")
        data = random.standard_normal(tensor.shape) if floats else random.integers(0, 2, tensor.shape)
        row[tensor.name] = {"content": data.reshape(-1).tolist(), "shape": list(tensor.shape)}
    return row
