from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest

from clockwork_triton.artifact.manifest import lay_out
from clockwork_triton.datatypes import TensorSpec
from clockwork_triton.errors import Code, ServerError
from clockwork_triton.gateway.arena import Arena
from clockwork_triton.gateway.remote_engine import RemoteEngine
from clockwork_triton.gateway.table import ModelTable, write_table
from clockwork_triton.inference import InferenceAnswer, InferenceCall, Moments
from clockwork_triton.transport.clockwork_pb2 import Answer, Calls, Envelope
from tests.frontend.fakes import served_model

A, B = TensorSpec("a", "uint8", (3,)), TensorSpec("b", "uint8", (2,))
MODEL = served_model("m", [A, B], [TensorSpec("c", "uint8", (4,))], model_id=7)


class Bench:
    """A front end's engine, and what it says."""

    def __init__(self, fd: int) -> None:
        self.said: list[Envelope] = []
        self.turn: list[Callable[[], None]] = []
        self.arena = Arena(fd)
        models = ModelTable()
        models.read(write_table({("m", ""): MODEL}))
        self.engine = RemoteEngine(models, self.arena, self.said.append, self.turn.append)
        self.outcomes: list[InferenceAnswer | ServerError] = []

    def submit(self, rows: int, *inputs: bytes, deadline_ns: int | None = None) -> int:
        call = InferenceCall(7, rows, inputs, 100, deadline_ns, 2)
        return self.engine.submit(call, self.outcomes.append)

    def end_turn(self) -> Calls:
        """What leaves."""
        for callback in self.turn:
            callback()
        self.turn.clear()
        (envelope,) = self.said
        self.said.clear()
        return envelope.calls

    def write(self, place: int, rows: int, output: bytes) -> None:
        """As a worker does."""
        at = place + lay_out(MODEL.inputs, MODEL.outputs, rows).outputs[0]
        self.arena.view[at : at + len(output)] = output


@pytest.fixture
def bench() -> Iterator[Bench]:
    fd = os.memfd_create("arena")
    os.ftruncate(fd, 1 << 12)
    yield Bench(fd)
    os.close(fd)


def answer(number: int, **fields: int | bool) -> Answer:
    return Answer(number=number, action_id=5, executed_rows=8, moments=[1, 2, 3, 4, 5], **fields)


def test_what_comes_in_one_turn_leaves_in_one_message_without_its_tensors(bench: Bench) -> None:
    numbers = [bench.submit(1, b"AAA", b"aa"), bench.submit(2, b"BBBBBB", memoryview(b"bbbb"), deadline_ns=9)]
    calls = bench.end_turn()
    assert [call.number for call in calls.calls] == numbers
    first, second = calls.calls
    assert (first.model_id, first.rows, first.arrival_ns, first.deadline_ns) == (7, 1, 100, 0)
    assert (second.rows, second.deadline_ns, second.priority) == (2, 9, 2)
    layout = lay_out(MODEL.inputs, MODEL.outputs, 2)
    for offset, text in zip(layout.inputs, (b"BBBBBB", b"bbbb"), strict=True):
        at = second.place + offset
        assert bytes(bench.arena.view[at : at + len(text)]) == text
    assert not calls.cancelled


def test_answers_bring_the_outputs_and_free_the_block(bench: Bench) -> None:
    number = bench.submit(2, b"AAAAAA", b"aaaa")
    (call,) = bench.end_turn().calls
    bench.write(call.place, 2, b"11112222")
    bench.engine.answered([answer(number, leads=True, queue_ns=6)])
    assert bench.outcomes == [
        InferenceAnswer((b"11112222",), 5, 8, 6, 0, 0, 0, Moments(1, 2, 3, 4, 5), leads=True)
    ]
    assert bench.arena.take(1024) == call.place


def test_refusals_come_with_their_words(bench: Bench) -> None:
    number = bench.submit(1, b"AAA", b"aa")
    bench.end_turn()
    bench.engine.answered([Answer(number=number, code="UNAVAILABLE", message="no")])
    (error,) = bench.outcomes
    assert isinstance(error, ServerError)
    assert (error.code, error.message) == (Code.UNAVAILABLE, "no")


def test_a_cancelled_call_keeps_its_block_until_the_worker_has_let_go(bench: Bench) -> None:
    number = bench.submit(1, b"AAA", b"aa")
    (call,) = bench.end_turn().calls
    bench.engine.cancel(number)
    bench.engine.cancel(number)
    assert list(bench.end_turn().cancelled) == [number]
    assert bench.arena.take(1024) != call.place
    bench.engine.answered([answer(number)])
    assert bench.outcomes == []
    assert bench.arena.take(1024) == call.place


def test_what_waits_is_counted_by_model_and_level(bench: Bench) -> None:
    bench.submit(1, b"AAA", b"aa")
    assert bench.engine.queued(7, 2) == 1
    assert bench.engine.queued(7, 1) == 0


def test_an_arena_without_room_refuses(bench: Bench) -> None:
    for _ in range(4):
        bench.submit(1, b"AAA", b"aa")
    with pytest.raises(ServerError, match="no memory left for tensors") as refused:
        bench.submit(1, b"AAA", b"aa")
    assert refused.value.code is Code.UNAVAILABLE
