from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.compare import measure
from benchmarks.compare.servers import Running
from tests.bench.server import serve


def test_what_others_left_alone_counts() -> None:
    samples = [{"others": share} for share in (0.5, 0.02, 0.08, 0.11)]
    assert measure.quiet(samples) == [{"others": 0.02}, {"others": 0.08}]


def test_or_else_the_quietest() -> None:
    assert measure.quiet([{"others": 0.5}, {"others": 0.2}]) == [{"others": 0.2}]


def test_a_sample_tells_what_others_took() -> None:
    sample = measure.metered([], lambda: {"number": 1})
    assert sample["number"] == 1
    assert 0.0 <= sample["others"] <= 1.0


def test_both_kinds_of_measurement_on_a_server(tmp_path: Path) -> None:
    with serve() as (address, _):
        server = Running("fake", address, os.getpid())
        closed = measure.closed(server, "good", 2, 0.2, tmp_path)
        assert closed["tool"] == "bench"
        assert closed["rps"] > 0
        assert closed["cpu_us"] >= 0
        overload = measure.overload(server, ["good", "bad"], tmp_path, 0.2, 5000, ("--rate", "100"))
        assert overload["refused"] > 0
        assert overload["good"] + overload["refused"] == overload["sent"]
        with pytest.raises(measure.MeasurementError, match="Request timeout expired"):
            measure.closed(server, "bad", 1, 0.2, tmp_path)
        with pytest.raises(measure.MeasurementError, match="unknown model"):
            measure.closed(server, "none", 1, 0.2, tmp_path)
        measure.write_input_data(server, "good", tmp_path / "data.json")
        assert '"IN"' in (tmp_path / "data.json").read_text()
