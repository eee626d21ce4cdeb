"""The page of kernels tells what was measured, and how."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.kernels import page, results
from benchmarks.kernels.comparison import Comparison, Growth
from benchmarks.kernels.conversion import Conversion

RATIO = Comparison("a", 1, 15, 2.0, 4.0, 0.5, 1.01, 1.02, 1e-6)
RATIOS = [RATIO, replace(RATIO, model="b", batch=8, ours_ms=8.0, ratio=2.0)]
CONVERSION = Conversion("a", (1, 8), 2, 12.3, 20.1, 900, 97.0, 40, "1 against onnxruntime")
GROWTH = Growth("a", 15, (1, 8), (2.0, 12.0))


def test_the_page_says_what_was_measured(tmp_path: Path) -> None:
    text = page.write(tmp_path, RATIOS, [replace(RATIO, rounds=1000)], [GROWTH], [CONVERSION])
    assert "Geometric mean **1.00** (bound 1.00), worst **2.00** (b, batch 8; bound 1.25)." in text
    assert "| a | 1 | 2.00 | 4.00 | 0.50 | 1e-06 |" in text
    assert "| a | 1 | 1,000 | 1.010 | 1.020 |" in text
    assert "| a | 1, 8 | 2 | 12.3 | 20.1 | 900 | 97 | 40 |" in text
    assert "| a | 8 | 12.00 | 1.50 | 0.750 |" in text
    assert "By the clock" in text
    assert (tmp_path / "kernels.md").read_text() == text
    assert (tmp_path / "kernels.png").stat().st_size > 0


def test_times_on_the_core_are_called_so(tmp_path: Path) -> None:
    assert "not by the clock" in page.write(tmp_path, [replace(RATIO, cpu_time=True)], [], [], [])


def test_results_are_kept(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    results.keep(RATIO, tmp_path / "a", "ratio-1")
    results.keep(CONVERSION, tmp_path / "a", "conversion")
    results.keep(GROWTH, tmp_path / "a", "growth")
    assert [tuple(each.batches) for each in results.growths(tmp_path)] == [(1, 8)]
    assert results.comparisons(tmp_path, "ratio") == [RATIO]
    assert results.comparisons(tmp_path, "tail") == []
    assert results.conversions(tmp_path) == [CONVERSION]
