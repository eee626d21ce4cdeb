from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.compare import measure
from benchmarks.compare.servers import Running
from benchmarks.serving import machine
from tests.bench.server import serve


class Others:
    """Other processes as loud as `shares` says, one measurement after another."""

    shares: list[float]

    def share(self, besides_s: float) -> float:
        return self.shares.pop(0)


@pytest.mark.parametrize(("shares", "chosen"), [([0.01, 0.0], 0), ([0.5, 0.2, 0.0], 1), ([0.2, 0.5, 0.0], 0)])
def test_a_loud_measurement_is_made_once_more(
    monkeypatch: pytest.MonkeyPatch, shares: list[float], chosen: int
) -> None:
    monkeypatch.setattr(Others, "shares", list(shares), raising=False)
    monkeypatch.setattr(machine, "Others", Others)
    numbers = iter(range(5))
    sample = measure.quietly([], lambda: {"number": next(numbers)})
    assert sample == {"number": chosen, "others": shares[chosen]}


def test_both_kinds_of_measurement_on_a_server(tmp_path: Path) -> None:
    with serve() as (address, _):
        server = Running("fake", address, os.getpid())
        closed = measure.closed(server, "good", 2, 0.2, tmp_path)
        assert closed["tool"] == "bench"
        assert closed["rps"] > 0
        assert closed["cpu_us"] > 0
        overload = measure.overload(server, ["good", "bad"], tmp_path, 0.2, 5000, ("--rate", "100"))
        assert overload["refused"] > 0
        assert overload["good"] + overload["refused"] == overload["sent"]
        with pytest.raises(measure.MeasurementError, match="Request timeout expired"):
            measure.closed(server, "bad", 1, 0.2, tmp_path)
        with pytest.raises(measure.MeasurementError, match="unknown model"):
            measure.closed(server, "none", 1, 0.2, tmp_path)
        measure.write_input_data(server, "good", tmp_path / "data.json")
        assert '"IN"' in (tmp_path / "data.json").read_text()
