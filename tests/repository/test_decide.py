from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.repository.decide import Decision, decide
from clockwork_triton.repository.scan import FileStamp, FoundModel, Scan


def found(name: str, content: int) -> FoundModel:
    return FoundModel(name, Path("/r") / name, (), {1: (FileStamp("1/model.onnx", content, 0),)})


scans = st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)).map(
    lambda models: {name: found(name, content) for name, content in models.items()}
)


@given(scans, scans, scans)
def test_only_what_has_settled_is_loaded(tried: Scan, before: Scan, now: Scan) -> None:
    decision = decide(tried, before, now)
    for model in decision.load:
        assert before[model.name] == now[model.name] == model


@given(scans, scans, scans)
def test_nothing_is_tried_twice_as_it_was(tried: Scan, before: Scan, now: Scan) -> None:
    assert all(tried.get(model.name) != model for model in decide(tried, before, now).load)


@given(scans, scans, scans)
def test_only_what_was_tried_and_is_gone_is_retired(tried: Scan, before: Scan, now: Scan) -> None:
    decision = decide(tried, before, now)
    assert set(decision.retire) == set(tried) - set(before) - set(now)


@given(scans, scans)
def test_two_equal_polls_bring_what_serves_to_what_is_there(tried: Scan, now: Scan) -> None:
    decision = decide(tried, now, now)
    after = {name: model for name, model in tried.items() if name not in decision.retire}
    after.update({model.name: model for model in decision.load})
    assert after == now
    assert decide(after, now, now) == Decision()


def test_a_copy_in_progress_waits() -> None:
    half, whole = {"a": found("a", 1)}, {"a": found("a", 2)}
    assert decide({}, {}, half) == Decision()
    assert decide({}, half, whole) == Decision()
    assert decide({}, whole, whole) == Decision(load=(whole["a"],))


def test_an_exchange_of_directories_does_not_retire() -> None:
    old, new = {"a": found("a", 1)}, {"a": found("a", 2)}
    assert decide(old, old, {}) == Decision()
    assert decide(old, {}, new) == Decision()
    assert decide(old, new, new) == Decision(load=(new["a"],))
    assert decide(old, {}, {}) == Decision(retire=("a",))
