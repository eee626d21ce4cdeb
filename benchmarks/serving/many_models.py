"""Fifty models on a device that holds ten: all answered rightly, round robin, within the device's memory."""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.serving.actions import Record, residency
from benchmarks.serving.latency import milliseconds
from benchmarks.serving.load import Answer, closed_loop
from benchmarks.serving.report import Report
from benchmarks.serving.server import Setup
from benchmarks.serving.subjects import TOLERANCE, Arrays, Subject, deviation, subjects
from clockwork_triton.artifact import Manifest

WIDTH = 512


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=50, help="models registered")
    parser.add_argument("--fit", type=int, default=10, help="models that the device memory holds")
    parser.add_argument("--rounds", type=int, default=4, help="times around all models at each concurrency")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("many_models", "More models than the device holds")
    repository, limit = setup.scratch / "many-models", arguments.fit * size_of_one(setup)
    for seed in range(arguments.count):
        write_model(repository / f"model_{seed:03}", seed)
    phases: dict[int, tuple[list[Answer], int, int]] = {}
    with setup.serve(repository, "--device-memory", str(limit), name="many-models") as server:
        found = subjects(server, repository)
        generator = np.random.default_rng(3)
        inputs = [subject.random_inputs(1, generator) for subject in found]
        requests = [subject.request(one) for subject, one in zip(found, inputs, strict=True)]
        count = arguments.rounds * len(found)
        for concurrency in (1, 8):
            begin_ns = time.monotonic_ns()
            answers = closed_loop(server.address, requests, concurrency, count=count, keep=True)
            phases[concurrency] = answers, begin_ns, time.monotonic_ns()
    table = report.table(
        "",
        "concurrency",
        "requests",
        "right",
        "p50 ms",
        "p99 ms",
        "LOADs",
        "UNLOADs",
        "requests without a LOAD",
    )
    records, right = server.actions(), 0
    for concurrency, (answers, begin_ns, end_ns) in phases.items():
        good = count_right(found, inputs, answers)
        during = [record for record in records if begin_ns <= record.t_ns <= end_ns and record.ok]
        loads, evictions = (sum(record.kind == kind for record in during) for kind in ("LOAD", "UNLOAD"))
        latencies = [answer.latency_ns for answer in answers if answer.ok]
        table.add(
            *(concurrency, len(answers), good),
            *(milliseconds(latencies, percent) for percent in (50, 99)),
            *(loads, evictions, len(answers) - loads),
        )
        right += good
    sent = sum(len(answers) for answers, _, _ in phases.values())
    report.claim(
        f"Every request of a round robin over {arguments.count} models is answered rightly",
        len(found) == arguments.count and right == sent,
        f"{right} of {sent}",
    )
    unloads = sum(record.kind == "UNLOAD" and record.ok for record in records)
    report.claim("Models make room for each other", unloads > 0, f"{unloads} UNLOADs")
    claim_memory(report, records, held_bytes(setup.artifact_cache), limit)
    return report


def claim_memory(report: Report, records: Sequence[Record], held: Mapping[str, int], limit: int) -> None:
    """Two accounts of the device memory: added up from LOADs and UNLOADs, and the controller's own."""
    used = residency(records, held)
    page = min(held.values()) // min(r.pages for r in records if r.kind == "LOAD" and r.pages)
    counted = max((record.pages for record in records), default=0) * page
    report.claim(
        f"Device memory never exceeds its {limit / 2**20:.0f} MiB",
        bool(used) and max(used) <= limit and counted <= limit,
        f"at most {max(used, default=0) / 2**20:.1f} MiB by its actions, {counted / 2**20:.1f} by its count",
    )


def count_right(found: Sequence[Subject], inputs: Sequence[Arrays], answers: Sequence[Answer]) -> int:
    expected = [subject.expected(one) for subject, one in zip(found, inputs, strict=True)]
    return sum(
        answer.ok and deviation(found[answer.index].answer(answer.reply), expected[answer.index]) <= TOLERANCE
        for answer in answers
    )


def held_bytes(artifact_cache: Path) -> dict[str, int]:
    """What each converted model takes of the device's memory, in whole pages."""
    manifests = [Manifest.read(path.parent) for path in artifact_cache.rglob("manifest.json")]
    return {manifest.name: manifest.pages * manifest.page_bytes for manifest in manifests}


def size_of_one(setup: Setup) -> int:
    """Converts one of the models alone: all take the same."""
    repository = setup.scratch / "one-model"
    write_model(repository / "model_000", 0)
    with setup.serve(repository, name="one-model"):
        return held_bytes(setup.artifact_cache)["model_000"]


def write_model(directory: Path, seed: int, width: int = WIDTH) -> None:
    """Two dense layers with weights of their own: 8 bytes times the square of the width, 2 MiB."""
    generator = np.random.default_rng(seed)

    def weight(*shape: int) -> onnx.TensorProto:
        values = generator.standard_normal(shape).astype(np.float32) / np.sqrt(width)
        return numpy_helper.from_array(values.astype(np.float32), f"w{len(weights)}")

    weights: list[onnx.TensorProto] = []
    for shape in ((16, width), (width, 2 * width), (2 * width, 4)):
        weights.append(weight(*shape))
    nodes = []
    for layer, tensor in enumerate(weights):
        nodes.append(helper.make_node("MatMul", [f"h{layer}" if layer else "x", tensor.name], [f"m{layer}"]))
        last = layer == len(weights) - 1
        nodes.append(helper.make_node("Tanh", [f"m{layer}"], ["y" if last else f"h{layer + 1}"]))
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    (directory / "1").mkdir(parents=True)
    onnx.save(model, directory / "1" / "model.onnx")
    (directory / "config.pbtxt").write_text('backend: "onnxruntime"\nmax_batch_size: 2\n')
