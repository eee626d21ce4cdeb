from __future__ import annotations

from collections import Counter
from pathlib import Path
from random import Random

import numpy as np
import pytest

from clockwork_triton.simulation.traces import (
    MINUTE_NS,
    Maf1Replay,
    read_maf1,
    read_timestamps,
    synthesise_maf1,
    write_maf1,
)
from clockwork_triton.simulation.workloads import FixedSlo


def test_a_written_trace_is_read_again(tmp_path: Path) -> None:
    counts = synthesise_maf1(50, 3, minutes=20)
    write_maf1(tmp_path / "day.csv", counts)
    assert np.array_equal(read_maf1(tmp_path / "day.csv"), counts)


def test_functions_are_read_most_invoked_first(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("HashOwner,HashApp,HashFunction,Trigger,1,2\no,a,f,http,1,0\no,a,g,http,5,\n")
    assert read_maf1(path).tolist() == [[5, 0], [1, 0]]


@pytest.mark.parametrize("text", ["", "a,b,c,d\n", "a,b,c,d,1\no,a,f,t,x\n", "a,b,c,d,1,2\no,a,f,t,1\n"])
def test_other_files_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "day.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"day\.csv"):
        read_maf1(path)


def test_a_synthetic_day_is_skewed_and_repeatable() -> None:
    counts = synthesise_maf1(2000, 1, minutes=100)
    totals = counts.sum(axis=1)
    assert totals[:20].sum() > 0.4 * totals.sum(), "a hundredth of the functions make most of the load"
    assert np.array_equal(counts, synthesise_maf1(2000, 1, minutes=100))
    assert not np.array_equal(counts, synthesise_maf1(2000, 2, minutes=100))


def test_a_replay_maps_blocks_of_functions_to_models_at_its_rate() -> None:
    counts = np.array([[400, 0], [300, 0], [200, 0], [0, 100]])
    replay = Maf1Replay(counts, [7, 8], 50.0, FixedSlo(1))
    arrivals = list(replay.arrivals(Random(1), 2 * MINUTE_NS))
    times = [arrival.time_ns for arrival in arrivals]
    assert times == sorted(times)
    assert len(arrivals) == pytest.approx(50 * 120, rel=0.05)
    by_minute = Counter((arrival.time_ns // MINUTE_NS, arrival.model_id) for arrival in arrivals)
    assert by_minute[0, 7] == pytest.approx(50 * 120 * 0.7, rel=0.05)
    assert by_minute[0, 8] == pytest.approx(50 * 120 * 0.2, rel=0.1)
    assert by_minute[1, 8] == pytest.approx(50 * 120 * 0.1, rel=0.15)
    assert (1, 7) not in by_minute


def test_timestamps_are_dates_or_seconds(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("TIMESTAMP,n\n2023-11-16 18:17:04.0798600,1\n2023-11-16 18:17:03.9799600,2\n")
    assert read_timestamps(path, "TIMESTAMP") == pytest.approx([0, 99_900_000], abs=1000)
    path.write_text("t\n2.5\n1\n")
    assert read_timestamps(path, "t") == [0, 1_500_000_000]
    with pytest.raises(ValueError, match="no column 'x'"):
        read_timestamps(path, "x")
