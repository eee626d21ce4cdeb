"""One measurement of one server, with `bench` or with perf_analyzer."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.compare.servers import Running
from benchmarks.serving import machine, perf_analyzer
from clockwork_triton.bench.models import describe
from clockwork_triton.bench.requests import random_rows

Sample = dict[str, Any]
"""What was measured and what came out, as it stands in the files of results."""


QUIET = 0.1


class MeasurementError(RuntimeError):
    """A tool could not measure; the message holds the end of what it said."""


def metered(servers: Sequence[Running], work: Callable[[], Sample]) -> Sample:
    """What `work` measures, with the share of the machine that processes other than the servers and the
    client took meanwhile in `others`."""
    others, before = machine.Others(), sum(server.cpu_s() for server in servers)
    sample = work()
    used = sum(server.cpu_s() for server in servers) - before
    return sample | {"others": others.share(used)}


def quiet(samples: Sequence[Sample]) -> list[Sample]:
    """Those of the same measurement that count: the ones that others left alone, or else the quietest."""
    least = min(sample["others"] for sample in samples)
    return [sample for sample in samples if sample["others"] <= max(QUIET, least)]


def bench(server: Running, scratch: Path, *arguments: str) -> dict[str, Any]:
    """The document that it writes, with the CPU time the server used for all of its requests in `cpu_s`."""
    file = scratch / "bench.json"
    file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "clockwork_triton.cli", "bench", "-u", server.address, *arguments]
    before = server.cpu_s()
    run = subprocess.run(
        [*command, "--json", str(file)], capture_output=True, text=True, timeout=300, check=False
    )
    used = server.cpu_s() - before
    if not file.exists():
        raise MeasurementError(f"{server.name}: {(run.stdout + run.stderr)[-1000:]}")
    found: dict[str, Any] = json.loads(file.read_text())
    return found | {"cpu_s": used}


def closed(server: Running, model: str, concurrency: int, seconds: float, scratch: Path) -> Sample:
    """With `bench`: a closed loop, warm already."""
    arguments = ("--concurrency", str(concurrency), "--seconds", str(seconds), "--warmup-s", "0")
    found = bench(server, scratch, model, *arguments)
    total = found["total"]
    if total["good"] != total["sent"]:
        raise MeasurementError(f"{server.name}: {found['words']}")
    return {
        "tool": "bench",
        "rps": total["answered_per_s"],
        "p50_ms": total["latency_ms"]["p50"],
        "p99_ms": total["latency_ms"]["p99"],
        "cpu_us": found["cpu_s"] / total["sent"] * 1e6,
    }


def perf(server: Running, model: str, concurrency: int, scratch: Path, *flags: str) -> Sample:
    """With perf_analyzer; `flags` are added to its own."""
    data = scratch / f"{model}.json"
    if not data.exists():
        write_input_data(server, model, data)
    seen = perf_analyzer.measure(server.address, model, data, concurrency, scratch, *flags)
    tool = "perf_analyzer" + (", shared memory" if flags else "")
    if seen.error:
        return {"tool": tool, "error": seen.error[-300:]}
    return {"tool": tool, "rps": seen.throughput, "p50_ms": seen.p50_ms, "p99_ms": seen.p99_ms}


def write_input_data(server: Running, model: str, path: Path) -> None:
    """Finite values: perf_analyzer's own random bits hold NaN and denormals."""
    (described,) = describe(server.address, [model], {}).models
    row = random_rows(described, 0)[0]
    shapes = {each.name: list(each.shape) for each in described.inputs}
    entry: Mapping[str, Any] = {
        name: {"b64": base64.b64encode(data).decode(), "shape": shapes[name]} for name, data in row.items()
    }
    path.write_text(json.dumps({"data": [entry]}))


def overload(
    server: Running,
    models: Sequence[str],
    scratch: Path,
    seconds: float,
    slo_ms: float,
    workload: Sequence[str],
) -> Sample:
    """By a clock; then waits until the server has dealt with what it was left with."""
    times = ("--slo-ms", str(slo_ms), "--seconds", str(seconds), "--patience-s", "2")
    try:
        found = bench(server, scratch, *models, *workload, *times)
        bench(server, scratch, *models, "--concurrency", "1", "--seconds", "0.2", "--warmup-s", "0")
    except MeasurementError as error:
        return {"error": str(error)}
    total = found["total"]
    keys = ("sent", "offered_per_s", "goodput_per_s", "good", "late", "refused", "failed", "lost")
    return {
        **{key: total[key] for key in keys},
        "p50_ms": total["latency_ms"]["p50"],
        "p99_ms": total["latency_ms"]["p99"],
        "refusal_p99_ms": total["refusal_ms"]["p99"],
        "complaint": found["schedule"]["complaint"],
        "words": found["words"],
    }
