"""Triton's perf_analyzer in every mode: no error, and the server's figures are consistent with its own."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from benchmarks.serving import perf_analyzer
from benchmarks.serving.perf_analyzer import BothSides
from benchmarks.serving.report import Report, Table
from benchmarks.serving.server import Server, Setup

WINDOWS = 3
"""perf_analyzer's figures are of this many windows, each with two edges."""
COUNT_TOLERANCE = 0.02
TRANSPORTS = ("http2", "grpcio")


@dataclass(frozen=True)
class Mode:
    """One run. `in_flight` bounds the requests under way at any time; `exact` ones send a fixed number."""

    protocol: str
    flags: str
    model: str = "simple"
    batch: int = 1
    in_flight: int = 1
    exact: bool = False

    def __str__(self) -> str:
        return " ".join(filter(None, [self.flags, f"-b {self.batch}" if self.batch > 1 else ""]))

    def arguments(self, server: Server, interval_ms: int) -> list[str]:
        port = server.grpc_port if self.protocol == "grpc" else server.http_port
        windows = [] if self.exact else ["-p", str(interval_ms), "-r", str(WINDOWS), "-s", "999"]
        where = ["-m", self.model, "-i", self.protocol, "-u", f"127.0.0.1:{port}"]
        return [*where, "-b", str(self.batch), *windows, *self.flags.split()]


POISSON = "--request-distribution poisson --request-rate-range"
COMMON: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--sync", {}),
    ("--async --concurrency-range 4", {"in_flight": 4}),
    ("--sync --shared-memory system", {}),
    (f"--async {POISSON} 100", {"in_flight": 8}),
    ("--sync --percentile 99", {}),
    ("--async --concurrency-range 4 --percentile 99", {"batch": 8, "in_flight": 4}),
    (f"--async --shared-memory system --percentile 99 {POISSON} 60", {"batch": 4, "in_flight": 8}),
    ("--sync --request-count 300", {"exact": True}),
    ("--async --concurrency-range 4 --request-count 300", {"in_flight": 4, "exact": True}),
    ("--sync --shared-memory system --input-data zero", {"model": "digits", "batch": 16}),
    (
        "--async --shared-memory system --output-shared-memory-size 4096 --string-data 7",
        {"model": "simple_string"},
    ),
)
GRPC_ALONE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--async --streaming --concurrency-range 4", {"in_flight": 4}),
    ("--async --streaming --concurrency-range 4 --shared-memory system", {"batch": 2, "in_flight": 4}),
    (f"--async --streaming --percentile 99 {POISSON} 100", {"in_flight": 8}),
    ("--async --streaming --concurrency-range 3", {"model": "simple_sequence", "in_flight": 3}),
    (
        f"--async --streaming --num-of-sequences 3 {POISSON} 100",
        {"model": "simple_dyna_sequence", "in_flight": 8},
    ),
    ("--sync --grpc-compression-algorithm gzip", {}),
)
HTTP_ALONE: tuple[tuple[str, dict[str, Any]], ...] = (
    ("--sync --input-tensor-format json --output-tensor-format json", {"batch": 2}),
    ("--sync", {"model": "simple_sequence"}),
)


def modes(protocol: str) -> Iterator[Mode]:
    for flags, rest in (*COMMON, *(GRPC_ALONE if protocol == "grpc" else HTTP_ALONE)):
        yield Mode(protocol, flags, **rest)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--interval-ms", type=int, default=1000, help="the length of a window")


def run(setup: Setup, arguments: argparse.Namespace) -> Report:
    report = Report("perf_analyzer", "perf_analyzer in every mode")
    columns = (
        "protocol",
        "model",
        "flags",
        "requests",
        "server's",
        "mean us",
        "server's",
        "overhead",
        "queue",
    )
    table = report.table("", *columns, "input", "infer", "output")
    failed: list[str] = []
    wrong: dict[str, list[str]] = {claim: [] for claim in CLAIMS}
    ran = 0
    for transport in TRANSPORTS:
        # HTTP is the same server beside either.
        protocols = ("grpc", "http") if transport == TRANSPORTS[0] else ("grpc",)
        chosen = [mode for protocol in protocols for mode in modes(protocol)]
        with _serve(setup, arguments.model_repository, transport, chosen) as server:
            for mode in chosen:
                name = f"grpc, {transport}" if mode.protocol == "grpc" else "http"
                ran += 1
                try:
                    seen = perf_analyzer.both_sides(mode.arguments(server, arguments.interval_ms))
                except RuntimeError as error:
                    failed.append(f"{name}, {mode.model}, {mode}: {error}")
                    continue
                _add(table, name, mode, seen)
                for claim in inconsistencies(mode, seen):
                    wrong[claim].append(f"{name}, {mode.model}, {mode}: {seen}")
            failed += _failures(server)
    report.claim(f"{ran} runs, no error on either side", ran > 0 and not failed, "; ".join(failed[:4]))
    for claim, cases in wrong.items():
        report.claim(claim, len(failed) < ran and not cases, "; ".join(cases[:4]))
    report.notes.append(
        f"The last {WINDOWS} windows of {arguments.interval_ms} ms each, of perf_analyzer 2.51. `mean us` is"
        " the client's mean latency; behind it the server's, and what that is made of, as ModelStatistics"
        " counts them."
    )
    return report


EXACT = "With --request-count the server counts exactly the client's requests"
COUNTS = (
    f"The server's requests of the windows are the client's: within {COUNT_TOLERANCE:.0%}, or those in flight"
    " at the windows' edges"
)
ROWS = "Inferences are requests times batch size, and executions no more than requests"
LATENCY = "The server's mean latency is no more than the client's"
PARTS = "Queue, input, infer and output add up to no more than the server's latency, with overhead to it"
INFER = "The time to infer is above zero"
CLAIMS = (EXACT, COUNTS, ROWS, LATENCY, PARTS, INFER)


def inconsistencies(mode: Mode, seen: BothSides) -> list[str]:
    """Those of `CLAIMS` that do not hold of a run."""
    apart = abs(seen.requests - seen.server_requests)
    edges = 2 * WINDOWS * mode.in_flight
    parts = seen.queue_us + seen.input_us + seen.infer_us + seen.output_us
    holds = {
        EXACT: not mode.exact or apart == 0,
        COUNTS: apart <= max(edges, COUNT_TOLERANCE * seen.requests),
        ROWS: seen.server_rows == seen.server_requests * mode.batch
        and 0 < seen.server_executions <= seen.server_requests,
        LATENCY: seen.server_us <= seen.client_us,
        # Each of the five is rounded down by itself.
        PARTS: parts <= seen.server_us and abs(parts + seen.overhead_us - seen.server_us) <= 5,
        INFER: seen.infer_us > 0,
    }
    return [claim for claim, so in holds.items() if not so]


def _serve(
    setup: Setup, repository: Path, transport: str, chosen: Sequence[Mode]
) -> contextlib.AbstractContextManager[Server]:
    names = sorted({mode.model for mode in chosen})
    return setup.serve(
        repository,
        *("--model-control-mode=explicit", *(f"--load-model={name}" for name in names)),
        *("--allow-client-shm=true", f"--grpc-transport={transport}"),
        name=f"perf_analyzer-{transport}",
        log_actions=False,
    )


def _add(table: Table, name: str, mode: Mode, seen: BothSides) -> None:
    table.add(
        *(name, mode.model, str(mode), seen.requests, seen.server_requests, seen.client_us, seen.server_us),
        *(seen.overhead_us, seen.queue_us, seen.input_us, seen.infer_us, seen.output_us),
    )


def _failures(server: Server) -> list[str]:
    """Requests that failed by the server's own count, of any run."""
    with grpc.insecure_channel(server.address) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        found = stub.ModelStatistics(service_pb2.ModelStatisticsRequest(), timeout=10).model_stats
    return [
        f"{model.name}: {model.inference_stats.fail.count} requests failed by the server's count"
        for model in found
        if model.inference_stats.fail.count
    ]
