from __future__ import annotations

from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.transport.messages import Stages
from clockwork_triton.worker.device import Outputs
from clockwork_triton.worker.finisher import Finisher
from clockwork_triton.worker.performer import Outcome
from clockwork_triton.worker.windows import Order

JOIN_S = 10.0


class _Outputs:
    def wait(self) -> Stages:
        raise NotImplementedError


def _order(action_id: int) -> Order:
    return Order(Action(action_id, ActionKind.INFER, 0, 1, 0, 1, 0, 1), 0, 0)


def test_outcomes_are_made_whole_and_reported_in_order() -> None:
    reported: list[tuple[int, Status]] = []

    def finish(order: Order, outputs: Outputs) -> Outcome:
        return Outcome(Status.OK if order.action.action_id % 2 else Status.DEVICE_ERROR)

    finisher = Finisher(
        finish, lambda order, outcome: reported.append((order.action.action_id, outcome.status))
    )
    finisher.start()
    for number in range(4):
        finisher.submit(_order(number), _Outputs())
    finisher.stop(JOIN_S)
    error, ok = Status.DEVICE_ERROR, Status.OK
    assert reported == [(0, error), (1, ok), (2, error), (3, ok)]


def test_it_ends_when_nobody_listens() -> None:
    tried: list[int] = []

    def report(order: Order, outcome: Outcome) -> None:
        tried.append(order.action.action_id)
        raise BrokenPipeError

    finisher = Finisher(lambda order, outputs: Outcome(Status.OK), report)
    finisher.start()
    finisher.submit(_order(1), _Outputs())
    finisher.submit(_order(2), _Outputs())
    finisher.stop(JOIN_S)
    assert tried == [1]
