from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clockwork_triton.errors import Code, ServerError
from clockwork_triton.frontend import sequences
from clockwork_triton.frontend.sequences import Extras, Sequences, SequenceTag, Turn
from clockwork_triton.repository.config import parse_text
from clockwork_triton.repository.sequence import sequence_plan
from tests.compatibility import covers
from tests.frontend.fakes import FakeClock

CONFIG = """
name: "m" max_batch_size: 4
sequence_batching {
  max_sequence_idle_microseconds: 5
  control_input [ { name: "S" control [ { kind: CONTROL_SEQUENCE_START int32_false_true: [ 0, 1 ] } ] } ]
  control_input [ { name: "E" control [ { kind: CONTROL_SEQUENCE_END fp32_false_true: [ 0, 1 ] } ] } ]
  control_input [ { name: "R" control [ { kind: CONTROL_SEQUENCE_READY bool_false_true: [ 0, 1 ] } ] } ]
  control_input [ { name: "C" control [ { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] } ]
  state [ { input_name: "I" output_name: "O" data_type: TYPE_INT16 dims: [ 2 ] } ]
}
"""
FIRST, MIDDLE, LAST = (
    SequenceTag(7, start, end) for start, end in ((True, False), (False, False), (False, True))
)


class World:
    def __init__(self) -> None:
        plan = sequence_plan(parse_text(CONFIG))
        assert plan is not None
        self.clock = FakeClock()
        self.sequences = Sequences(plan, "m", True, self.clock)
        self.came: list[tuple[str, Extras | ServerError]] = []

    def join(self, tag: SequenceTag, name: str = "", rows: int = 1) -> Turn:
        return self.sequences.join(tag, rows, lambda extras: self.came.append((name, extras)))

    def end(self, turn: Turn, state: bytes | None = None) -> None:
        if state is not None:
            self.sequences.keep(turn, (state,))
        self.sequences.leave(turn)

    def refusal(self, tag: SequenceTag, rows: int = 1) -> str:
        with pytest.raises(ServerError) as caught:
            self.join(tag, rows=rows)
        assert caught.value.code is Code.INVALID_ARG
        return caught.value.message


def test_a_request_is_told_its_place() -> None:
    world = World()
    for tag, start, end in ((FIRST, 1, 0), (MIDDLE, 0, 0), (LAST, 0, 1)):
        world.end(world.join(tag), b"abcd")
        _, extras = world.came.pop()
        assert extras == (
            np.array([start], np.int32).tobytes(),
            np.array([end], np.float32).tobytes(),
            b"\x01",
            np.array([7], np.uint64).tobytes(),
            bytes(4) if start else b"abcd",
        )
    assert len(world.sequences) == 0
    assert world.sequences.shapes == ((1, 1), (1, 1), (1, 1), (1, 1), (1, 2))


def test_requests_of_a_sequence_wait_for_each_other_and_for_no_others() -> None:
    world = World()
    first = world.join(FIRST, "a")
    second = world.join(MIDDLE, "b")
    world.join(SequenceTag(8, True), "other")
    assert [name for name, _ in world.came] == ["a", "other"]
    world.end(first, b"1234")
    assert [name for name, _ in world.came] == ["a", "other", "b"]
    assert world.came[-1][1][-1] == b"1234"  # type: ignore[index]
    world.end(second)
    world.end(second)


@pytest.mark.parametrize("place", [0, 1])
def test_what_is_cancelled_takes_those_behind_it_along(place: int) -> None:
    world = World()
    turns = [world.join(tag, name) for tag, name in ((FIRST, "a"), (MIDDLE, "b"), (MIDDLE, "c"))]
    again = world.join(FIRST, "d")
    world.sequences.leave(turns[place], cancelled=True)
    assert [(name, extras.code) for name, extras in world.came if isinstance(extras, ServerError)] == [
        (name, Code.CANCELLED) for name in ("b", "c")[place:]
    ]
    if place:
        world.end(turns[0], b"1234")
    assert world.came[-1][0] == "d"
    world.end(again, b"5678")
    world.end(world.join(LAST, "e"), b"....")
    assert world.came[-1][1][-1] == b"5678"  # type: ignore[index]
    assert len(world.sequences) == 0


@covers("cancellation in a sequence")
@pytest.mark.parametrize("place", [0, 1])
def test_a_sequence_of_which_a_request_was_cancelled_has_ended(place: int) -> None:
    world = World()
    turns = [world.join(FIRST), world.join(MIDDLE)]
    world.sequences.leave(turns[place], cancelled=True)
    assert "START flag" in world.refusal(LAST)
    world.end(turns[0], b"1234")
    assert len(world.sequences) == 0


def test_what_is_not_in_order_is_refused_in_tritons_words() -> None:
    world = World()
    start = "must specify the START flag on the first request of the sequence"
    assert world.refusal(SequenceTag()) == (
        "inference request to model 'm' must specify a non-zero or non-empty correlation ID"
    )
    assert world.refusal(MIDDLE) == f"inference request for sequence 7 to model 'm' {start}"
    assert world.refusal(FIRST, rows=2) == (
        "inference request to model 'm' must specify batch-size 1 due to requirements of sequence batcher"
    )
    assert "correlation ID 'x'" in world.refusal(SequenceTag("x", True))
    assert "correlation ID" in world.refusal(SequenceTag(1 << 64, True))
    world.join(FIRST)
    world.join(LAST)
    assert world.refusal(MIDDLE).endswith(start), "the sequence is to end"


def test_a_failed_start_fails_what_follows_until_the_next() -> None:
    world = World()
    first = world.join(FIRST, "a")
    turns: list[Turn] = []

    def refused(name: str) -> Callable[[Extras | ServerError], None]:
        def came(extras: Extras | ServerError) -> None:
            world.came.append((name, extras))
            if isinstance(extras, ServerError):
                world.sequences.leave(turns[len(world.came) - 2])

        return came

    for name in ("b", "c"):
        turns.append(world.sequences.join(MIDDLE, 1, refused(name)))
    again = world.join(FIRST, "d")
    world.end(first)
    assert [type(extras) for _, extras in world.came] == [tuple, ServerError, ServerError, tuple]
    world.end(again, b"good")
    world.end(world.join(LAST, "e"), b"....")
    assert world.came[-1][1][-1] == b"good"  # type: ignore[index]


def test_a_failed_request_leaves_the_state_as_it_was() -> None:
    world = World()
    world.end(world.join(FIRST), b"1234")
    world.end(world.join(MIDDLE))
    world.end(world.join(MIDDLE))
    assert world.came[-1][1][-1] == b"1234"  # type: ignore[index]


def test_a_new_start_begins_the_sequence_anew() -> None:
    world = World()
    world.end(world.join(FIRST), b"1234")
    world.end(world.join(FIRST), b"5678")
    assert world.came[-1][1][-1] == bytes(4)  # type: ignore[index]


def test_sequences_that_idle_are_forgotten() -> None:
    world = World()
    world.end(world.join(FIRST), b"1234")
    world.clock.now_ns += 5_000
    world.end(world.join(MIDDLE), b"1234")
    world.clock.now_ns += 5_001
    assert "must specify the START flag" in world.refusal(MIDDLE)
    waiting = world.join(FIRST)
    world.clock.now_ns += 5_001
    world.join(SequenceTag(8, True))
    assert len(world.sequences) == 2, "one is under way, and idles not"
    world.end(waiting, b"1234")


def test_there_are_only_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequences, "MOST_LIVE", 2)
    world = World()
    world.join(SequenceTag(1, True))
    world.join(SequenceTag(2, True))
    with pytest.raises(ServerError) as caught:
        world.join(SequenceTag(3, True))
    assert caught.value.code is Code.UNAVAILABLE


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans(), st.booleans(), st.booleans()), max_size=30))
def test_every_request_comes_at_most_once_and_in_order(steps: list[tuple[int, bool, bool, bool]]) -> None:
    """Sequence, START, END, and whether the oldest request under way ends before."""
    world = World()
    joined: list[tuple[int, str, Turn]] = []
    for number, (given_id, start, end, finish) in enumerate(steps):
        if finish and joined:
            _, _, turn = joined.pop(0)
            world.end(turn, b"1234")
        try:
            turn = world.join(SequenceTag(given_id, start, end), f"{given_id}:{number}")
        except ServerError:
            continue
        joined.append((given_id, f"{given_id}:{number}", turn))
    for _, _, turn in joined:
        world.end(turn, b"1234")
    names = [name for name, _ in world.came]
    assert len(set(names)) == len(names)
    for given_id in (1, 2, 3):
        own = [int(name.partition(":")[2]) for name in names if name.startswith(f"{given_id}:")]
        assert own == sorted(own)
