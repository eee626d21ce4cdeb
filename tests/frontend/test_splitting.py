from __future__ import annotations

from pathlib import Path
from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend.response_cache import Outputs
from clockwork_triton.frontend.shared_memory import SharedMemory
from clockwork_triton.frontend.splitting import Parts, split
from clockwork_triton.inference import InferenceCall, as_bytes
from tests.frontend.fakes import FakeEngine


def call(rows: int, deadline_ns: int | None = 50) -> InferenceCall:
    data = bytes(i // 4 % 256 for i in range(rows * 4))
    return InferenceCall(3, rows, (data, data[::-1] * 2), 7, deadline_ns, 2)


@given(st.integers(1, 60), st.integers(1, 9))
def test_parts_are_full_and_in_order(rows: int, largest: int) -> None:
    whole = call(rows)
    parts = split(whole, largest)
    assert [part.rows for part in parts[:-1]] == [largest] * (len(parts) - 1)
    assert 1 <= parts[-1].rows <= largest
    for place, data in enumerate(whole.inputs):
        assert b"".join(as_bytes(part.inputs[place]) for part in parts) == data
    assert {(p.model_id, p.arrival_ns, p.deadline_ns, p.priority) for p in parts} == {(3, 7, 50, 2)}


def test_what_lies_in_shared_memory_is_split_there(tmp_path: Path) -> None:
    (tmp_path / "object").write_bytes(bytes(range(12)))
    memory = SharedMemory(True, tmp_path)
    memory.register("r", "object", 0, 12)
    parts = split(InferenceCall(1, 3, (memory.take("r", 0, 12),), 0, None), 2)
    assert [as_bytes(part.inputs[0]) for part in parts] == [bytes(range(8)), bytes(range(8, 12))]


def begin(engine: FakeEngine, whole: InferenceCall) -> tuple[Parts, list[Outputs | ServerError]]:
    outcomes: list[Outputs | ServerError] = []
    return Parts(engine, whole, 1, outcomes.append), outcomes


def test_outputs_are_joined_in_order_whatever_ends_first() -> None:
    engine = FakeEngine(held=True)
    parts, outcomes = begin(engine, InferenceCall(1, 3, (b"aabbcc",), 0, None))
    for place in (2, 0, 0):
        assert outcomes == []
        engine.release(place)
    assert outcomes == [Outputs((b"aabbcc",))]
    assert len(parts.answers) == 3


def test_a_part_that_fails_cancels_the_rest_and_keeps_what_ran() -> None:
    engine = FakeEngine(held=True)
    parts, outcomes = begin(engine, InferenceCall(1, 3, (b"abc",), 0, None))
    engine.release()
    error = ServerError(Code.UNAVAILABLE, "no")
    engine.fail(error)
    assert outcomes == [error]
    assert engine.cancelled == 1
    assert len(parts.answers) == 1


def test_cancelling_it_cancels_every_part() -> None:
    engine = FakeEngine(held=True)
    parts, outcomes = begin(engine, InferenceCall(1, 2, (b"ab",), 0, None))
    parts.cancel()
    assert engine.cancelled == 2
    assert outcomes == []


@given(
    st.lists(st.lists(st.binary(max_size=5), min_size=2, max_size=2), min_size=1, max_size=9),
    st.integers(1, 4),
)
def test_texts_are_split_between_rows(rows: list[list[bytes]], largest: int) -> None:
    texts = [b"".join(pack("<I", len(text)) + text for text in row) for row in rows]
    whole = InferenceCall(1, len(rows), (b"".join(texts),), 0, None, 0, ((len(rows), 2),))
    parts = split(whole, largest, {0})
    expected = [texts[start : start + largest] for start in range(0, len(rows), largest)]
    assert [as_bytes(part.inputs[0]) for part in parts] == [b"".join(some) for some in expected]
    assert [part.shapes for part in parts] == [((len(some), 2),) for some in expected]
