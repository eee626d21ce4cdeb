from __future__ import annotations

from benchmarks.serving.load import Answer
from benchmarks.serving.overload import Overload


def test_every_request_is_answered_refused_or_other() -> None:
    answers = [
        Answer(0, 0, 1, 100_000_001, "OK"),
        Answer(0, 0, 1, 100_000_002, "OK"),
        Answer(0, 0, 1, 2, "UNAVAILABLE", "Request timeout expired"),
        Answer(0, 0, 1, 2, "UNAVAILABLE", "the worker is gone"),
        Answer(0, 0, 1, 2, "HANG"),
    ]
    seen = Overload(capacity=10, late_at_server=0, seconds=1, timeout_ms=100, answers=answers)
    assert (seen.answered, seen.timely, seen.refused) == (answers[:2], answers[:1], answers[2:3])
    assert seen.others == ["UNAVAILABLE the worker is gone", "HANG "]
