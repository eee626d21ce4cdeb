from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import page
from benchmarks.compare.scenarios import OURS, SCENARIOS

GRPCIO = f"{OURS} over grpcio"
HEAD = {"date": "2026-01-02", "machine": "Machine: one.", "rounds": 3, "seconds": 3.0, "complete": True}


def closed_samples(cpu_us: float) -> Iterator[dict[str, Any]]:
    """Three rounds, the second of which is an outlier that no median shows."""
    for number, factor in enumerate((1.0, 50.0, 1.0)):
        for concurrency in (1, 8, 32):
            for server, rps in ((OURS, 20_000), (GRPCIO, 5000), ("Triton", 10_000)):
                entry = {"server": server, "round": number, "concurrency": concurrency, "others": 0.01}
                times = {"rps": rps * factor, "p50_ms": 0.15, "p99_ms": 1.0}
                yield entry | times | {"tool": "bench", "cpu_us": cpu_us * factor}
                yield entry | times | {"tool": "perf_analyzer"}


def overload_samples(late: int) -> Iterator[dict[str, Any]]:
    capacities = {OURS: 300.0, "Triton": 250.0}
    yield {"capacity": 300.0, "capacities": capacities, "memory_mb": {OURS: 500.0, "Triton": 4000.0}}
    for factor in (0.5, 3.0):
        for server, goodput in ((OURS, min(150.0, 300 * factor)), ("Triton", 150.0 if factor < 1 else 40.0)):
            yield {
                "server": server,
                "others": 0.02,
                "round": 0,
                "factor": factor,
                "sent": 1000,
                "good": 900,
                "refused": 99,
                "offered_per_s": 300 * factor,
                "goodput_per_s": goodput,
                "late": late,
                "failed": 0,
                "lost": 0,
                "p50_ms": 10.0,
                "p99_ms": None,
                "refusal_p99_ms": 1.0,
                "complaint": "",
                "words": {},
            }


def write(results: Path, name: str, samples: Iterator[dict[str, Any]]) -> str:
    (results / "compare").mkdir()
    document = HEAD | {"scenario": name, "samples": list(samples)}
    (results / "compare" / f"{name}.json").write_text(json.dumps(document))
    page.write(results)
    assert (results / "compare" / f"{name}.png").exists()
    return (results / "compare.md").read_text()


def test_medians_and_claims_of_a_closed_loop(tmp_path: Path) -> None:
    text = write(tmp_path, "tiny", closed_samples(50))
    assert f"| {OURS} | 20,000 | 0.15 / 1.00 | 50 |" in text
    assert "at most 60 us of CPU a request at concurrency 32, p50 at most 0.2 ms at 1: holds" in text
    assert f"{OURS}: at least 1 times the throughput of Triton at concurrency 32, by bench: holds" in text
    assert "Machine: one." in text


def test_a_claim_that_fails(tmp_path: Path) -> None:
    text = write(tmp_path, "tiny", closed_samples(70))
    assert (
        "at most 60 us of CPU a request at concurrency 32, p50 at most 0.2 ms at 1: **fails** (70 us" in text
    )


def test_what_was_not_measured_holds_nothing(tmp_path: Path) -> None:
    samples = [sample for sample in closed_samples(50) if sample["concurrency"] < 32]
    text = write(tmp_path, "tiny", iter(samples))
    assert "at concurrency 32, by bench: **fails** (nan times)" in text


@pytest.mark.parametrize(("late", "verdict"), [(1, "**fails**"), (0, "holds")])
def test_goodput_and_late_answers(tmp_path: Path, late: int, verdict: str) -> None:
    text = write(tmp_path, "eight-poisson", overload_samples(late))
    assert f"{OURS}: at 0.5 times capacity goodput is at least every peer's: holds" in text
    assert (
        f"{OURS}: at 3 times capacity goodput is at least 3 times Triton's: holds (150.0 and 40.0 a second"
        in text
    )
    assert f"{OURS}: late answers are below 0.1 % of all sent: {verdict}" in text
    assert "| Triton | 250 | 4,000 | 3 | 900 | 40 | 90.00% |" in text


def test_every_scenario_has_a_title_and_a_note() -> None:
    assert page.TITLES.keys() == SCENARIOS.keys() == page.NOTES.keys()
