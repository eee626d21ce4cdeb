from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from clockwork_triton.bench.models import BenchError
from clockwork_triton.bench.plan import KINDS, Plan, workloads
from clockwork_triton.simulation.workloads import Arrival, ClosedLoop

SECOND = 1_000_000_000
MS = 1_000_000
PLAN = Plan("steady", (None, None), rate=10)


def arrivals(plan: Plan, seconds: float = 10) -> list[Arrival]:
    (workload,) = workloads(plan)
    assert not isinstance(workload, ClosedLoop)
    return list(workload.arrivals(Random(1), round(seconds * SECOND)))


def test_steady_is_evenly_spaced() -> None:
    assert [arrival.time_ns for arrival in arrivals(PLAN, 0.45)] == [n * SECOND // 10 for n in range(5)]


def test_poisson_keeps_its_rate_and_popularity() -> None:
    found = arrivals(replace(PLAN, kind="poisson", rate=1000, zipf=1.0))
    assert len(found) == pytest.approx(10_000, rel=0.05)
    assert sum(arrival.model_id == 0 for arrival in found) / len(found) == pytest.approx(2 / 3, abs=0.03)


def test_a_ramp_grows_step_by_step() -> None:
    found = arrivals(replace(PLAN, kind="ramp", rate=1000, growth=2.0, step_s=5.0))
    first = sum(arrival.time_ns < 5 * SECOND for arrival in found)
    assert (len(found) - first) / first == pytest.approx(2, rel=0.1)


def test_bursts_have_pauses() -> None:
    times = [a.time_ns for a in arrivals(replace(PLAN, kind="bursty", rate=1000, on_s=0.1, off_s=0.4), 60)]
    gaps = [after - before for before, after in pairwise(times)]
    assert max(gaps) > 0.2 * SECOND
    assert len(times) == pytest.approx(60 * 1000 / 5, rel=0.3)


def test_every_model_has_its_own_slo() -> None:
    found = arrivals(replace(PLAN, kind="poisson", rate=1000, slos_ns=(5 * MS, None)))
    assert {(arrival.model_id, arrival.slo_ns) for arrival in found} == {(0, 5 * MS), (1, None)}
    closed = workloads(replace(PLAN, kind="closed-loop", concurrency=3, slos_ns=(5 * MS, None)))
    assert [each.ask(0).slo_ns for each in closed if isinstance(each, ClosedLoop)] == [5 * MS, None]


def test_a_trace_of_timestamps_goes_around_the_models(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("TIMESTAMP,x\n10.0,1\n11.0,1\n13.0,1\n")
    found = arrivals(replace(PLAN, kind="timestamps", trace=file, speed=2.0))
    assert [(a.time_ns, a.model_id) for a in found] == [(0, 0), (SECOND // 2, 1), (3 * SECOND // 2, 0)]


def test_a_trace_of_invocations_is_scaled_to_the_rate(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("a,b,c,d,1,2\no,p,f,http,30,10\no,p,g,http,10,6\n")
    found = arrivals(replace(PLAN, kind="maf1", trace=file, rate=100), 120)
    assert len(found) == pytest.approx(120 * 100, rel=0.05)
    assert sum(arrival.model_id == 0 for arrival in found) / len(found) == pytest.approx(5 / 7, abs=0.03)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"closed-loop", "timestamps"}))
def test_a_clock_needs_a_rate(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    file.write_text("a,b,c,d,1\no,p,f,http,30\n")
    with pytest.raises(BenchError, match="--rate"):
        workloads(replace(PLAN, kind=kind, rate=None, trace=file))


@pytest.mark.parametrize("kind", ["maf1", "timestamps"])
def test_traces_must_be_there_and_readable(kind: str, tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="--trace"):
        workloads(replace(PLAN, kind=kind))
    with pytest.raises(BenchError, match="No such file"):
        workloads(replace(PLAN, kind=kind, trace=tmp_path / "none.csv"))
    (tmp_path / "bad.csv").write_text("a,b,c,d,1\no,p,f,http,x\n")
    with pytest.raises(BenchError, match=r"bad\.csv"):
        workloads(replace(PLAN, kind=kind, trace=tmp_path / "bad.csv"))
