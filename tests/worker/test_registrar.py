from __future__ import annotations

import queue
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.worker.performer import Performer
from clockwork_triton.worker.registrar import Registrar
from clockwork_triton.worker.windows import Order
from tests.worker.fake_device import FakeDevice

TIMEOUT_S = 30.0


@pytest.fixture(autouse=True)
def _leave_the_collector_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gc.freeze", lambda: None)


class Desk:
    """A started registrar over a fake device, and what it answered."""

    def __init__(self, wait_quiet: Callable[[float], bool] = lambda _: True) -> None:
        self.device = FakeDevice()
        self.performer = Performer(self.device, 1)
        self.answers: queue.Queue[tuple[int, str]] = queue.Queue()
        self.registrar = Registrar(
            self.device, self.performer, wait_quiet, lambda *answer: self.answers.put(answer)
        )
        self.registrar.start()

    def answer(self) -> tuple[int, str]:
        return self.answers.get(timeout=TIMEOUT_S)

    def infer(self, model_id: int) -> Status:
        return self.performer.perform(
            Order(Action(1, ActionKind.INFER, 0, model_id, 0, 1, 0, 1), 0, 0)
        ).status


def test_a_model_can_be_used_once_the_answer_is_there() -> None:
    desk = Desk()
    assert desk.infer(1) is Status.UNKNOWN_MODEL
    desk.registrar.register(1, Path("artifact"))
    assert desk.answer() == (1, "")
    assert desk.infer(1) is Status.NOT_LOADED
    desk.registrar.stop(TIMEOUT_S)


def test_a_failure_is_an_answer_and_the_next_model_is_none_the_worse() -> None:
    desk = Desk()
    desk.registrar.register(1, Path("unsuitable"))
    desk.registrar.register(2, Path("artifact"))
    desk.registrar.register(2, Path("artifact"))
    assert desk.answer() == (1, "it is too large")
    assert desk.answer() == (2, "")
    assert desk.answer() == (2, "model 2 is registered already")
    desk.registrar.stop(TIMEOUT_S)


def test_unregistering_comes_after_what_was_asked_before() -> None:
    desk = Desk()
    desk.registrar.register(1, Path("artifact"))
    desk.registrar.unregister(1)
    desk.registrar.stop(TIMEOUT_S)
    assert [call[0] for call in desk.device.calls] == ["register", "unregister"]
    assert desk.infer(1) is Status.UNKNOWN_MODEL


def test_every_piece_waits_for_a_quiet_moment() -> None:
    waits: list[float] = []
    desk = Desk(lambda timeout_s: not waits.append(timeout_s))
    desk.device.register = _in_pieces(desk.device.register, 5)  # type: ignore[method-assign]
    desk.registrar.register(1, Path("artifact"))
    assert desk.answer() == (1, "")
    desk.registrar.stop(TIMEOUT_S)
    assert len([wait for wait in waits if wait > 0]) >= 6


def test_every_piece_of_forgetting_a_model_waits_for_a_quiet_moment_too() -> None:
    waits: list[float] = []
    desk = Desk(lambda timeout_s: not waits.append(timeout_s))
    desk.device.unregister = lambda model_id: iter([None] * 5)  # type: ignore[method-assign]
    desk.registrar.unregister(1)
    desk.registrar.stop(TIMEOUT_S)
    assert len([wait for wait in waits if wait > 0]) == 6


def _in_pieces(
    register: Callable[[int, Path], Iterator[None]], pieces: int
) -> Callable[[int, Path], Iterator[None]]:
    def more(model_id: int, artifact: Path) -> Iterator[None]:
        for _ in range(pieces - 1):
            yield
        yield from register(model_id, artifact)

    return more
