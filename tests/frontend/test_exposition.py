from __future__ import annotations

from clockwork_triton.frontend.exposition import Family, exposition
from clockwork_triton.telemetry.histogram import Histogram


def test_names_are_as_given_and_labels_sorted() -> None:
    family = Family("nv_x", "counter", "Things")
    family.add({"version": "1", "model": "m"}, 3)
    family.add({}, 0.25)
    assert exposition([family]) == (
        '# HELP nv_x Things\n# TYPE nv_x counter\nnv_x{model="m",version="1"} 3\nnv_x 0.25\n'
    )


def test_labels_are_escaped() -> None:
    family = Family("x", "gauge", "a\nb")
    family.add({"model": 'a"b\\c\nd'}, 1)
    assert exposition([family]).splitlines() == [
        "# HELP x a\\nb",
        "# TYPE x gauge",
        'x{model="a\\"b\\\\c\\nd"} 1',
    ]


def test_histograms_are_cumulative() -> None:
    histogram = Histogram((10, 2500))
    for value in (5, 7, 2000, 9000):
        histogram.add(value)
    family = Family("h", "histogram", "H")
    family.add_histogram({"model": "m"}, histogram, 1000)
    assert family.lines == [
        'h_bucket{le="0.01",model="m"} 2',
        'h_bucket{le="2.5",model="m"} 3',
        'h_bucket{le="+Inf",model="m"} 4',
        'h_sum{model="m"} 11.012',
        'h_count{model="m"} 4',
    ]


def test_families_without_samples_are_left_out() -> None:
    assert exposition([Family("x", "gauge", "X")]) == "\n"
