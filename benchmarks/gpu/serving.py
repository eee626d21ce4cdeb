"""The server end to end on a GPU, under Triton's own load generator."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from benchmarks.architectures import build
from benchmarks.serving import perf_analyzer
from benchmarks.serving.server import Setup

CONFIG = """name: "%s"
backend: "onnxruntime"
max_batch_size: 16
parameters { key: "precision" value { string_value: "%s" } }
"""
CONCURRENCIES = (1, 16)


def serve(names: list[str], precision: str, scratch: Path, cache: Path) -> list[dict[str, Any]]:
    """What perf_analyzer measures of each model at some concurrencies.

    `overhead_ms`, where requests come one by one: client to client, less the execution that the action log
    has for them, at the median. RuntimeError if the server does not come up or does not answer.
    """
    repository = scratch / "repository"
    for name in names:
        (repository / name / "1").mkdir(parents=True)
        onnx.save(build(name), repository / name / "1" / "model.onnx")
        (repository / name / "config.pbtxt").write_text(CONFIG % (name, precision))
    command = [sys.executable, "-m", "clockwork_triton.cli", "serve"]
    setup = Setup(command, scratch, cache, scratch, patience_s=240)
    rows: list[dict[str, Any]] = []
    with setup.serve(repository, "--device", "cuda:0") as server:
        for name in names:
            data = scratch / f"{name}.json"
            data.write_text(json.dumps({"data": [_row(repository / name / "1" / "model.onnx")]}))
            for concurrency in CONCURRENCIES:
                found = perf_analyzer.measure(server.address, name, data, concurrency, scratch)
                if found.error:
                    raise RuntimeError(found.error)
                rows.append(
                    {
                        "model": name,
                        "concurrency": concurrency,
                        "inferences/s": found.throughput,
                        "p50_ms": found.p50_ms,
                        "p99_ms": found.p99_ms,
                    }
                )
    infers = [record for record in server.actions() if record.kind == "INFER" and record.ok]
    for row in rows:
        alone = [
            record.measured_ns
            for record in infers
            if (record.model, record.batch_size) == (row["model"], 1) and record.requests
        ]
        one_by_one = row["concurrency"] == 1 and alone
        row["overhead_ms"] = row["p50_ms"] - float(np.median(alone)) / 1e6 if one_by_one else None
    return rows


def _row(path: Path) -> dict[str, Any]:
    """One row of input, as perf_analyzer reads it."""
    random = np.random.default_rng(0)
    row: dict[str, Any] = {}
    for value in onnx.load(path, load_external_data=False).graph.input:
        shape = [dim.dim_value for dim in value.type.tensor_type.shape.dim][1:]
        floats = value.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
        data = random.standard_normal(shape) if floats else random.integers(0, 2, shape)
        row[value.name] = {"content": data.reshape(-1).tolist(), "shape": shape}
    return row
