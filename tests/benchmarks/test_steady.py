from __future__ import annotations

import pytest

from benchmarks.serving.actions import Record
from benchmarks.serving.report import Report
from benchmarks.steady import MINUTE_NS, Memory, added, judge
from clockwork_triton.bench.ledger import Ledger
from clockwork_triton.bench.plan import Plan
from clockwork_triton.bench.run import Run
from clockwork_triton.bench.wire import Reply

MS = 1_000_000


def infer(begin_ns: int, duration_ns: int, requests: int = 1) -> Record:
    end_ns = begin_ns + duration_ns
    return Record(end_ns, 0, "INFER", "OK", "m", requests, requests, 0, begin_ns, end_ns, 0)


def a_run(latencies_ns: list[int], every_ns: int) -> Run:
    ledger = Ledger()
    for number, latency_ns in enumerate(latencies_ns):
        sent_ns = number * every_ns
        ledger.enter(0, sent_ns, sent_ns, sent_ns + latency_ns, None, Reply("OK", b""))
    return Run(ledger, 0, len(latencies_ns) * every_ns, 0.1, Plan("steady", (None,), rate=1.0))


def test_added_latency_is_what_the_infer_does_not_explain() -> None:
    run = a_run([5 * MS, 6 * MS, 9 * MS], 20 * MS)
    # The second INFER answers two requests; the log is not in order.
    infers = [infer(21 * MS, 4 * MS, 2), infer(MS, 3 * MS)]
    sent, extra = added(run, infers)
    assert sent.tolist() == [0, 20 * MS, 40 * MS]
    assert extra.tolist() == [2 * MS, 2 * MS, 5 * MS]


def test_requests_and_infers_must_go_together() -> None:
    with pytest.raises(AssertionError, match="2 requests, but INFERs for 1"):
        added(a_run([MS, MS], MS), [infer(0, MS)])


@pytest.mark.parametrize(
    ("slower_ns", "grown_mb", "holds"), [(0, 0.0, True), (2 * MS, 0.0, False), (0, 50.0, False)]
)
def test_growth_from_the_first_minute_to_the_last_is_a_failure(
    slower_ns: int, grown_mb: float, holds: bool
) -> None:
    every_ns = MINUTE_NS // 10
    run = a_run([2 * MS] * 10 + [2 * MS + slower_ns] * 10, every_ns)
    infers = [infer(n * every_ns, MS) for n in range(20)]
    memory = Memory([0, 2 * MINUTE_NS], [100.0, 100.0 + grown_mb])
    report = Report("steady", "Steadiness")
    judge(report, "m", run, infers, memory)
    assert report.holds is holds
    assert [row[0] for row in report.tables[0].rows] == ["1", "2", "all"]
