from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from benchmarks.serving import perf_analyzer_modes as modes
from benchmarks.serving.perf_analyzer import BothSides, parse

REPORT = """
Request Rate: 60 inference requests per seconds
  Client:
    Request count: 179
    Throughput: 198.375 infer/sec
    p99 latency: 6885 usec
    Avg HTTP time: 2634 usec (send/recv 114 usec + response wait 2520 usec)
  Server:
    Inference count: 716
    Execution count: 176
    Successful request count: 179
    Avg request latency: 1506 usec (overhead 715 usec + queue 736 usec + compute input 15 usec + compute infer 23 usec + compute output 17 usec)
"""  # noqa: E501
SEEN = BothSides(179, 2634, 179, 716, 176, 1506, 715, 736, 15, 23, 17)
MODE = modes.Mode("http", "", batch=4)


def test_a_report_is_read() -> None:
    assert parse(REPORT) == SEEN
    mean = REPORT.replace("p99 latency: 6885", "Avg latency: 2700")
    assert parse(mean).client_us == 2700


def test_half_a_report_is_none() -> None:
    with pytest.raises(RuntimeError, match="not whole"):
        parse(REPORT.partition("Server")[0])


@pytest.mark.parametrize(
    ("changes", "claims"),
    [
        ({}, []),
        ({"server_requests": 185, "server_rows": 740}, []),
        ({"server_requests": 186, "server_rows": 744}, [modes.COUNTS]),
        ({"server_rows": 715}, [modes.ROWS]),
        ({"server_executions": 180}, [modes.ROWS]),
        ({"client_us": 1505}, [modes.LATENCY]),
        ({"queue_us": 750}, [modes.PARTS]),
        ({"infer_us": 0, "overhead_us": 738}, [modes.INFER]),
    ],
)
def test_what_is_inconsistent(changes: dict[str, Any], claims: list[str]) -> None:
    assert modes.inconsistencies(MODE, replace(SEEN, **changes)) == claims


def test_a_fixed_number_of_requests_is_counted_exactly() -> None:
    seen = replace(SEEN, server_requests=180, server_rows=720)
    assert modes.inconsistencies(replace(MODE, exact=True), seen) == [modes.EXACT]


def test_every_mode_is_of_one_line_of_flags() -> None:
    both = [str(mode) for protocol in ("grpc", "http") for mode in modes.modes(protocol)]
    for needed in (
        "--sync",
        "--async",
        "--streaming",
        "--shared-memory system",
        "poisson",
        "--percentile 99",
        "-b 8",
    ):
        assert any(needed in flags for flags in both)
