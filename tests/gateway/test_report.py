from __future__ import annotations

import pickle

from clockwork_triton.frontend.dataplane import DataPlane
from clockwork_triton.gateway.report import Report, take
from clockwork_triton.inference import InferenceAnswer, Moments
from clockwork_triton.telemetry.latency_options import LatencyOptions
from clockwork_triton.telemetry.statistics import Duration, Failure, Statistics
from tests.frontend.fakes import FakeClock, FakeEngine, FakeIndex, simple

LATENCIES = LatencyOptions(summaries=True, histograms=True)


def answer(leads: bool) -> InferenceAnswer:
    return InferenceAnswer((), 1, 4, 5, 1, 10, 2, Moments(0, 0, 0, 0, 0), leads=leads)


def test_counts_of_several_front_ends_add_up() -> None:
    reports = []
    for leads, late in ((True, False), (False, True)):
        statistics = Statistics(LATENCIES)
        counted = statistics.of("simple", 1)
        counted.succeeded(30, 0, 2, late, [answer(leads)])
        counted.failed(Failure.REJECTED, 20, 0)
        counted.invalid += 1
        # As it goes from process to process.
        reports.append(pickle.loads(pickle.dumps(Report(statistics, {("simple", 1): 3}))))
    sums = Statistics(LATENCIES)
    plane = DataPlane(FakeIndex([simple()]), FakeEngine(), sums, FakeClock())
    for _ in range(2):  # again and again: not on top of what was told before
        take(reports, plane, sums)
    total = sums.of("simple", 1)
    assert (total.inference_count, total.execution_count, total.late, total.invalid) == (4, 1, 1, 2)
    assert total.success == Duration(2, 60)
    assert total.compute_infer == Duration(2, 20)
    assert total.batches[4].compute_infer == Duration(1, 10)
    assert total.failures[Failure.REJECTED] == Duration(2, 40)
    assert (total.latency.count, total.latency.total) == (2, 60)
    assert total.first_response is not None
    assert total.first_response.count == 2
    assert total.summaries is not None
    assert total.summaries["request"].quantiles(30, [0.5]) == [30]
    assert total.last_inference_ns == 30
    assert [model.pending for model in plane.models()] == [6]
