from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.inference import InferenceAnswer, Moments
from clockwork_triton.telemetry.statistics import Duration, Failure, ModelStatistics, Statistics


def answer(action_id: int, rows: int = 1, leads: bool = True, **stages: int) -> InferenceAnswer:
    times: dict[str, Any] = {"queue_ns": 5, "input_ns": 1, "infer_ns": 10, "output_ns": 2} | stages
    return InferenceAnswer((), action_id, rows, **times, moments=Moments(0, 0, 0, 0, 0), leads=leads)


def test_a_success_updates_everything_together() -> None:
    stats = ModelStatistics()
    stats.succeeded(1_018, 1_000, 3, False, [answer(1, rows=4)])
    assert stats.last_inference_ns == 1_018
    assert (stats.inference_count, stats.execution_count, stats.late) == (3, 1, 0)
    assert stats.success == Duration(1, 18)
    assert stats.queue == Duration(1, 5)
    assert (stats.compute_input, stats.compute_infer, stats.compute_output) == (
        Duration(1, 1),
        Duration(1, 10),
        Duration(1, 2),
    )
    assert stats.latency.count == 1
    assert stats.fail == Duration(0, 0)


def test_tritons_durations_begin_with_the_reading() -> None:
    stats = ModelStatistics()
    stats.succeeded(1_018, 1_000, 1, False, [answer(1)], unread_ns=3)
    assert (stats.success, stats.queue) == (Duration(1, 15), Duration(1, 2))
    assert stats.latency.total == 18


def test_requests_of_one_execution_count_it_once() -> None:
    stats = ModelStatistics()
    for rows in (1, 2, 1):
        stats.succeeded(100, 0, rows, False, [answer(7, rows=4, leads=rows == 2)])
    stats.succeeded(100, 0, 4, False, [answer(8, rows=4, infer_ns=30)])
    assert (stats.inference_count, stats.execution_count) == (8, 2)
    assert list(stats.batches) == [4]
    assert stats.batches[4].compute_infer == Duration(2, 40)
    assert stats.compute_infer == Duration(4, 60)


def test_of_several_parts_the_last_to_end_gives_the_stages() -> None:
    stats = ModelStatistics()
    stats.succeeded(100, 0, 10, True, [answer(1, 8), answer(2, 2, queue_ns=40, infer_ns=20)])
    assert stats.success.count == stats.queue.count == stats.compute_infer.count == 1
    assert (stats.queue.ns, stats.compute_infer.ns) == (40, 20)
    assert stats.execution_count == 2
    assert {size: batch.compute_infer.ns for size, batch in stats.batches.items()} == {8: 10, 2: 20}
    assert stats.late == 1


def test_failures_are_kept_by_reason_and_summed() -> None:
    stats = ModelStatistics()
    stats.failed(Failure.REJECTED, 30, 10)
    stats.failed(Failure.BACKEND, 25, 10, [answer(3)])
    assert stats.failures[Failure.REJECTED] == Duration(1, 20)
    assert stats.failures[Failure.OTHER] == Duration(0, 0)
    assert stats.fail == Duration(2, 35)
    assert (stats.execution_count, stats.inference_count, stats.success.count) == (1, 0, 0)


@given(st.lists(st.tuples(st.booleans(), st.integers(1, 4), st.integers(0, 9)), max_size=30))
def test_counters_that_belong_together_agree(events: list[tuple[bool, int, int]]) -> None:
    stats = ModelStatistics()
    seen: set[int] = set()
    for good, rows, action_id in events:
        if good:
            stats.succeeded(20, 0, rows, False, [answer(action_id, rows, leads=action_id not in seen)])
            seen.add(action_id)
        else:
            stats.failed(Failure.OTHER, 20, 0)
        counts = {stats.queue.count, stats.compute_input.count, stats.compute_infer.count}
        assert counts == {stats.success.count} == {stats.compute_output.count}
    assert stats.success.count + stats.fail.count == len(events)
    assert stats.execution_count == len({a for good, _, a in events if good})
    assert stats.execution_count == sum(b.compute_infer.count for b in stats.batches.values())


def test_a_version_keeps_its_counters() -> None:
    statistics = Statistics()
    assert statistics.of("m", 1) is statistics.of("m", 1)
    assert statistics.of("m", 1) is not statistics.of("m", 2)
