from __future__ import annotations

import json
import math

import pytest

from clockwork_triton.bench.ledger import Ledger
from clockwork_triton.bench.report import document, remarks
from clockwork_triton.bench.summary import KEPT_NS, Summary, summarise
from clockwork_triton.bench.wire import Reply

MS, SECOND = 1_000_000, 1_000_000_000
OK, REFUSED = Reply("OK", b""), Reply("UNAVAILABLE", b"Request timeout expired")


def example(lag_ns: int = 0, cpu: float = 0.2) -> Summary:
    """Two seconds: model 0 is asked 100 times and answers in 1 to 100 ms, 10 of them late; model 1 refuses
    50. What is due before second 1 or from second 3 on does not count."""
    ledger = Ledger()
    for n in range(100):
        due = SECOND + n * 20 * MS
        ledger.enter(0, due, due + lag_ns, due + lag_ns + (n + 1) * MS, 90 * MS, OK)
    for n in range(50):
        due = SECOND + n * MS
        ledger.enter(1, due, due, due + 2 * MS, 90 * MS, REFUSED)
    for due in (0, SECOND - 1, 3 * SECOND):
        ledger.enter(1, due, due, due + MS, 90 * MS, Reply("INTERNAL", b"not counted"))
    return summarise(ledger, 2, SECOND, 3 * SECOND, open_loop=True, cpu=cpu)


def test_figures_of_a_model() -> None:
    figures = example().models[0]
    assert (figures.sent, list(figures.counts)) == (100, [90, 10, 0, 0, 0])
    assert (figures.offered, figures.goodput) == (50.0, 45.0)
    assert list(figures.latencies_ms) == pytest.approx([50, 90, 99, 100, 100])


def test_figures_of_all() -> None:
    total = example().total
    assert (total.sent, list(total.counts)) == (150, [90, 10, 50, 0, 0])
    assert total.refusals_ms[0] == 2.0
    assert example().words == [("UNAVAILABLE: Request timeout expired", 50)]


def test_second_by_second() -> None:
    first, second = example().seconds
    assert (first.at_s, first.sent, list(first.counts)) == (0.0, 100, [50, 0, 50, 0, 0])
    assert (second.at_s, second.sent, list(second.counts)) == (1.0, 50, [40, 10, 0, 0, 0])
    assert (first.p99_ms, second.p99_ms) == (50.0, 100.0)


def test_a_schedule_that_was_not_kept_is_told() -> None:
    assert example().schedule.kept
    assert example().schedule.complaint == ""
    late = example(lag_ns=KEPT_NS + 1)
    assert not late.schedule.kept
    assert "was not kept" in "\n".join(remarks(late))
    # Latency counts from sending: what the client was late by is not the server's.
    assert list(late.models[0].latencies_ms) == list(example().models[0].latencies_ms)


def test_a_client_at_its_limit_is_told() -> None:
    assert "95% of a core" in example(cpu=0.95).schedule.complaint


def test_a_run_without_answers() -> None:
    summary = summarise(Ledger(), 1, 0, SECOND, open_loop=False, cpu=0.0)
    assert summary.total.sent == 0
    assert all(math.isnan(value) for value in summary.total.latencies_ms)
    assert summary.schedule.complaint == ""


def test_the_document_is_json() -> None:
    text = json.dumps(document({"server": "s"}, ["a", "b"], example()), allow_nan=False)
    found = json.loads(text)
    assert found["models"]["a"]["late"] == 10
    assert found["models"]["b"]["latency_ms"]["p50"] is None
    assert found["total"]["goodput_per_s"] == 45.0
    assert found["schedule"]["kept"] is True
