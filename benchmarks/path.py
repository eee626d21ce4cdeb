"""What a request costs through the whole server: front end, controller and worker process included.

    python -m benchmarks.path
    python -m benchmarks.path --tree before=../other-checkout --tree after=. --rounds 5

Serves a tiny model (16 floats in and out) from one or several source trees and loads each in turn with the
real perf_analyzer, interleaved over several rounds, so that a change can be held against the tree without it
in one run. The figures are medians over the rounds; CPU is that of the server's processes, by the kernel's
account of their threads, over the requests that the server counted meanwhile.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from rich.console import Console
from rich.table import Table

from benchmarks.serving import machine, perf_analyzer
from benchmarks.serving.server import Server, Setup

ROOT = Path(__file__).resolve().parents[1]
MODEL = "tiny"
FLOATS = 16

CONFIG = f"""
name: "{MODEL}"
platform: "onnxruntime_onnx"
max_batch_size: 16
input [ {{ name: "x" data_type: TYPE_FP32 dims: [ {FLOATS} ] }} ]
output [ {{ name: "y" data_type: TYPE_FP32 dims: [ {FLOATS} ] }} ]
"""


@dataclass(frozen=True)
class Figures:
    """Of one load on one server: requests a second, milliseconds, microseconds of CPU a request."""

    throughput: float
    p50_ms: float
    p99_ms: float
    server_us: float
    worker_us: float


def make_repository(root: Path) -> Path:
    """A model repository with one model of one product, and the data that perf_analyzer sends it."""
    version = root / "models" / MODEL / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(CONFIG)
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", FLOATS]) for name in "xy"]
    weight = numpy_helper.from_array(2 * np.eye(FLOATS, dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph([node], MODEL, tensors[:1], tensors[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(version / "model.onnx"))
    data = {"data": [{"x": [float(i) for i in range(FLOATS)]}]}
    (root / "input.json").write_text(json.dumps(data))
    return version.parents[1]


def cpu_ns(server: Server) -> tuple[int, int]:
    """CPU time of the server's own process, and of its workers and whatever else it has started."""
    children = [process.pid for process in server.descendants()]
    return _process_ns(server.process.pid), sum(map(_process_ns, children))


def _process_ns(pid: int) -> int:
    used = 0
    for thread in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            used += int(thread.read_text().split()[0])
    return used


def load(server: Server, concurrency: int, scratch: Path) -> Figures:
    counter = "nv_inference_request_success"
    before, answered = cpu_ns(server), server.metric(counter, model=MODEL)
    found = perf_analyzer.measure(server.address, MODEL, scratch / "input.json", concurrency, scratch)
    if found.error:
        raise RuntimeError(found.error)
    after, answered = cpu_ns(server), server.metric(counter, model=MODEL) - answered
    own, others = ((new - old) / 1e3 / answered for old, new in zip(before, after, strict=True))
    return Figures(found.throughput, found.p50_ms, found.p99_ms, own, others)


def compare(
    servers: dict[str, Server], concurrencies: Sequence[int], rounds: int, scratch: Path
) -> dict[tuple[int, str], list[Figures]]:
    found: dict[tuple[int, str], list[Figures]] = {}
    for turn in range(rounds + 1):
        for concurrency in concurrencies:
            for name, server in servers.items():
                figures = load(server, concurrency, scratch)
                # The first round warms up.
                if turn:
                    found.setdefault((concurrency, name), []).append(figures)
    return found


def show(found: dict[tuple[int, str], list[Figures]], console: Console) -> None:
    table = Table("concurrency", "server", "r/s", "p50 ms", "p99 ms", "CPU us", "of which server", "worker")
    for (concurrency, name), rounds in found.items():
        own, others = median(f.server_us for f in rounds), median(f.worker_us for f in rounds)
        table.add_row(
            str(concurrency),
            name,
            f"{median(f.throughput for f in rounds):,.0f}",
            f"{median(f.p50_ms for f in rounds):.3f}",
            f"{median(f.p99_ms for f in rounds):.3f}",
            f"{median(f.server_us + f.worker_us for f in rounds):.0f}",
            f"{own:.0f}",
            f"{others:.0f}",
        )
    console.print(table)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tree", action="append", default=[], metavar="NAME=DIR", help="default: this one")
    parser.add_argument("--flags", action="append", default=[], metavar="NAME=FLAGS", help="of the server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--artifact-cache", type=Path, metavar="DIR", help="kept; default: a temporary one")
    arguments = parser.parse_args()
    trees = {name: Path(tree) for name, _, tree in (item.partition("=") for item in arguments.tree)}
    flags = {name: text.split() for name, _, text in (item.partition("=") for item in arguments.flags)}
    # The same tree may be served with different flags.
    trees = trees or dict.fromkeys(flags or ["this"], ROOT)
    console, others = Console(width=None if sys.stdout.isatty() else 120), machine.Others()
    with tempfile.TemporaryDirectory(prefix="clockwork-path-") as name, contextlib.ExitStack() as stack:
        scratch = Path(name)
        repository = make_repository(scratch)
        servers = {}
        for tree, place in trees.items():
            python = ["env", "-C", str(place.resolve()), f"PYTHONPATH={place.resolve()}", sys.executable]
            command = [*python, "-m", "clockwork_triton.cli", "serve"]
            setup = Setup(command, scratch, arguments.artifact_cache or scratch / "artifacts", scratch)
            chosen = ["--grpc-transport=http2", *flags.get(tree, [])]
            server = setup.serve(repository, *chosen, name=tree, log_actions=False)
            servers[tree] = stack.enter_context(server)
        found = compare(servers, arguments.concurrency, arguments.rounds, scratch)
    console.print(machine.description())
    console.print(f"Other processes took {others.share():.0%} of the machine's CPU time meanwhile.")
    show(found, console)
    return 0


if __name__ == "__main__":
    sys.exit(main())
