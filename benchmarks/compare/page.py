"""docs/results/compare.md, out of what the scenarios measured."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.compare import pictures
from benchmarks.compare.measure import Sample, quiet
from benchmarks.compare.pictures import Medians
from benchmarks.compare.scenarios import MANY, OURS, SCENARIOS, SLO_MS
from benchmarks.serving.report import Report

INTRODUCTION = f"""# Beside other servers

Written by `scripts/compare`: it installs Triton 2.51 (the server binary of the `nvidia-pytriton` wheel, with
a model of its Python backend that calls ONNX Runtime, dynamic batching on), KServe's Python server (its gRPC
side) and MLServer (without parallel workers) into environments of their own. All serve the same ONNX files,
the others with ONNX Runtime and one thread an instance, and are driven in turn over gRPC by the real
perf_analyzer and by `clockwork-triton bench`, round after round; figures are medians over those rounds in
which other processes took at most a tenth of the machine's CPU time, or of the quietest where there is none.
Servers and clients share the machine's two cores, so what counts is how servers compare within one table.
CPU is that of all of a server's processes, a request.

`{OURS}` uses its own gRPC transport (`--grpc-transport http2`) where nothing else is said.
"""
TITLES = {
    "tiny": "A tiny model: what a request costs",
    "squeezenet": "SqueezeNet",
    "resnet50": "ResNet-50",
    "eight-poisson": f"Eight models, {SLO_MS} ms deadline, Poisson arrivals",
    "eight-bursty": f"Eight models, {SLO_MS} ms deadline, bursty arrivals",
    "many": f"{MANY} models where memory holds ten",
}
NOTES = {
    "tiny": ["FP32[16] in and out, one inference core."],
    "squeezenet": ["One image of 3x224x224 floats a request: 602 KB."],
    "resnet50": ["One image of 3x224x224 floats a request: 602 KB."],
    "eight-poisson": [
        "Eight small BERTs of 128 tokens, alike. Load is counted in the capacity: the best that any of the"
        " servers answers to two waiting clients of every model. Good: answered within 100 ms of sending."
        f" `{OURS}` has two workers. Triton has an instance of every model, queue timeout 100 ms with REJECT;"
        " KServe and MLServer know no deadlines."
    ],
    "eight-bursty": [
        "The same with bursts: on and off for half a second each on average, twice the rate while on."
    ],
    "many": [
        f"{MANY} models of 16 MiB with weights of their own, Zipf popularity (exponent 1), Poisson arrivals,"
        f" {SLO_MS} ms deadline. `{OURS}` may hold five models on each of its two devices. On a CPU nothing"
        " keeps the other servers from holding all forty, so they do: they have four times the memory and"
        f" never load. `{OURS}, all in memory` has as much as they."
    ],
}
BELOW = 1.0
SHARED = "perf_analyzer, shared memory"


def write(results: Path) -> None:
    """Of those scenarios that have been measured."""
    documents = {}
    for name in SCENARIOS:
        file = results / "compare" / f"{name}.json"
        if file.exists():
            documents[name] = json.loads(file.read_text())
    reports = [section(name, document, results) for name, document in documents.items()]
    machines = sorted({document["machine"] for document in documents.values()})
    parts = [INTRODUCTION, *machines, "", *(report.markdown(results) for report in reports)]
    (results / "compare.md").write_text("\n".join(parts).rstrip() + "\n")


def section(name: str, document: Mapping[str, Any], results: Path) -> Report:
    report = Report(name, TITLES[name], notes=list(NOTES[name]))
    samples = document["samples"]
    if samples and "capacity" in samples[0]:
        _overload(report, samples, results / "compare" / f"{name}.png")
    else:
        _closed(report, samples)
        report.pictures.append(results / "compare" / f"{name}.png")
        pictures.closed(TITLES[name], _medians(samples), report.pictures[-1])
    if not document["complete"]:
        report.notes.append("It was ended before it was through: what is missing was not measured.")
    others = [sample["others"] for sample in samples if "others" in sample]
    report.notes.append(
        f"{document['date']}, {document['rounds']} rounds, {document['seconds']:g} s each with `bench`."
        f" Processes that do not belong to it took {median(others):.0%} of the machine's CPU time (median of"
        f" the measurements), at most {max(others):.0%}."
    )
    return report


def _medians(samples: Iterable[Sample]) -> Medians:
    """By tool, server and concurrency; NaN where nothing was measured."""
    groups: dict[tuple[str, str, int], list[Sample]] = {}
    for sample in samples:
        groups.setdefault((sample["tool"], sample["server"], sample["concurrency"]), []).append(sample)
    return {
        key: {
            field: _median(each.get(field) for each in quiet(group))
            for field in ("rps", "p50_ms", "p99_ms", "cpu_us")
        }
        for key, group in groups.items()
    }


def _median(values: Iterable[float | None]) -> float:
    found = [value for value in values if value is not None]
    return median(found) if found else math.nan


def _closed(report: Report, samples: Sequence[Sample]) -> None:
    medians = _medians(samples)
    concurrencies = sorted({key[2] for key in medians})
    for tool in dict.fromkeys(sample["tool"] for sample in samples):
        names = list(dict.fromkeys(key[1] for key in medians if key[0] == tool))
        columns = [f"{figure}, c{c}" for c in concurrencies for figure in _figures(tool)]
        table = report.table(tool, "server", *columns)
        for name in names:
            cells = []
            for concurrency in concurrencies:
                found = medians.get((tool, name, concurrency), {})
                cells += _cells(found, tool)
            table.add(name, *cells)
    _judge_closed(report, medians)
    failed = sorted({f"{s['server']}, {s['tool']}: {s['error']}" for s in samples if "error" in s})
    report.notes += [f"Failed: {error}" for error in failed]


def _figures(tool: str) -> tuple[str, ...]:
    return ("r/s", "p50 / p99 ms", *(("CPU us",) if tool == "bench" else ()))


def _cells(found: Mapping[str, float], tool: str) -> list[str]:
    def text(key: str, digits: int) -> str:
        value = found.get(key, math.nan)
        return "-" if math.isnan(value) else f"{value:,.{digits}f}"

    cells = [
        text("rps", 0 if found.get("rps", 0) >= 100 else 1),
        f"{text('p50_ms', 2)} / {text('p99_ms', 2)}",
    ]
    return [*cells, text("cpu_us", 0)] if tool == "bench" else cells


def _judge_closed(report: Report, medians: Medians) -> None:
    if report.name == "tiny":
        _claim_cost(report, medians, f"{OURS} over grpcio", 200, 0.5)
        _claim_cost(report, medians, OURS, 60, 0.2)
        _claim_ratio(report, medians, (OURS, "Triton"), 32, 1.0)
        return
    one = (f"{OURS}, 1 worker", "Triton, 1 instance")
    for pair in (one, (f"{OURS}, 2 workers", "Triton, 2 instances")):
        _claim_ratio(report, medians, pair, 8, 1.1)
    ours, triton = (_value(medians, "bench", name, 1, "p50_ms") for name in one)
    detail = f"{ours:.2f} and {triton:.2f} ms"
    report.claim("p50 at concurrency 1 is no more than Triton's", ours <= triton, detail)
    plain, shared = (_value(medians, tool, one[0], 8, "rps") for tool in ("perf_analyzer", SHARED))
    better = "Throughput at concurrency 8 is better with shared memory than without"
    report.claim(better, shared > plain, f"{shared / plain:.2f} times")


def _claim_cost(report: Report, medians: Medians, server: str, most_us: float, most_ms: float) -> None:
    cpu, p50 = _value(medians, "bench", server, 32, "cpu_us"), _value(medians, "bench", server, 1, "p50_ms")
    report.claim(
        f"`{server}`: at most {most_us:g} us of CPU a request at concurrency 32,"
        f" p50 at most {most_ms:g} ms at 1",
        cpu <= most_us and p50 <= most_ms,
        f"{cpu:.0f} us, {p50:.2f} ms",
    )


def _claim_ratio(
    report: Report, medians: Medians, pair: tuple[str, str], concurrency: int, least: float
) -> None:
    for tool in ("perf_analyzer", "bench"):
        mine, theirs = (_value(medians, tool, name, concurrency, "rps") for name in pair)
        report.claim(
            f"{pair[0]}: at least {least:g} times the throughput of {pair[1]} at concurrency {concurrency},"
            f" by {tool}",
            mine >= least * theirs,
            f"{mine / theirs:.2f} times",
        )


def _value(medians: Medians, tool: str, server: str, concurrency: int, field: str) -> float:
    """NaN, with which no claim holds, where nothing was measured."""
    return medians.get((tool, server, concurrency), {}).get(field, math.nan)


def _overload(report: Report, samples: Sequence[Sample], picture: Path) -> None:
    first, runs = samples[0], [sample for sample in samples[1:] if "error" not in sample]
    report.notes += [f"Failed: {each['server']}: {each['error']}" for each in samples if "error" in each]
    capacity = first["capacity"]
    names = list(dict.fromkeys(run["server"] for run in runs))
    measured = {(run["server"], run["factor"]) for run in runs}
    # What was cut short compares nothing.
    factors = sorted(f for f in {f for _, f in measured} if all((name, f) in measured for name in names))
    table = report.table(
        f"Capacity: {capacity:,.0f} a second",
        *("server", "alone/s", "memory MB", "load", "offered/s", "good/s", "of sent", "late", "refused"),
        *("failed or lost", "answers p50 ms", "p99 ms"),
    )
    sums = {(name, factor): _sum(runs, name, factor) for name in names for factor in factors}
    for name in names:
        for factor in factors:
            found = sums[name, factor]
            sent = max(1, found["sent"])
            table.add(
                *(
                    name,
                    f"{first['capacities'][name]:,.0f}",
                    f"{first['memory_mb'][name]:,.0f}",
                    f"{factor:g}",
                ),
                *(f"{found['offered_per_s']:,.0f}", f"{found['goodput_per_s']:,.0f}"),
                *(f"{found[key] / sent:.2%}" for key in ("good", "late", "refused")),
                f"{(found['failed'] + found['lost']) / sent:.2%}",
                *(_text(found[key]) for key in ("p50_ms", "p99_ms")),
            )
    _judge_overload(report, sums, names, factors)
    report.pictures.append(picture)
    pictures.overload(
        report.title, capacity, {key: found["goodput_per_s"] for key, found in sums.items()}, picture
    )
    complaints = [run["complaint"] for run in runs if run["complaint"]]
    if complaints:
        report.notes.append(
            f"In {len(complaints)} of {len(runs)} runs the client, which shares the cores, was itself late by"
            f" more than it should; for example: {complaints[0]}"
        )


def _sum(runs: Iterable[Sample], name: str, factor: float) -> dict[str, float]:
    """Over the rounds: counts added, rates and latencies their medians."""
    mine = quiet([run for run in runs if run["server"] == name and run["factor"] == factor])
    counts = {
        key: sum(run[key] for run in mine) for key in ("sent", "good", "late", "refused", "failed", "lost")
    }
    rates = ("offered_per_s", "goodput_per_s", "p50_ms", "p99_ms")
    return counts | {key: _median(run[key] for run in mine) for key in rates}


def _judge_overload(
    report: Report,
    sums: Mapping[tuple[str, float], Mapping[str, float]],
    names: Sequence[str],
    factors: Sequence[float],
) -> None:
    peers = [name for name in names if not name.startswith(OURS)]
    for mine in (name for name in names if name not in peers):
        _judge_one(report, sums, mine, peers, factors)


def _judge_one(
    report: Report,
    sums: Mapping[tuple[str, float], Mapping[str, float]],
    mine: str,
    peers: Sequence[str],
    factors: Sequence[float],
) -> None:
    for factor in factors:
        ours = sums[mine, factor]["goodput_per_s"]
        if factor < BELOW:
            best = max(sums[name, factor]["goodput_per_s"] for name in peers)
            report.claim(
                f"{mine}: at {factor:g} times capacity goodput is at least every peer's",
                ours >= best,
                f"{ours:,.1f} and {best:,.1f} a second",
            )
        else:
            theirs = sums["Triton", factor]["goodput_per_s"]
            report.claim(
                f"{mine}: at {factor:g} times capacity goodput is at least 3 times Triton's",
                ours >= 3 * theirs,
                f"{ours:,.1f} and {theirs:,.1f} a second"
                + (f": {ours / theirs:.2f} times" if theirs else ""),
            )
    late, sent = (sum(sums[mine, factor][key] for factor in factors) for key in ("late", "sent"))
    report.claim(
        f"{mine}: late answers are below 0.1 % of all sent",
        late < sent / 1000,
        f"{late:,.0f} of {sent:,.0f}: {late / max(1, sent):.3%}",
    )


def _text(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:,.1f}"
