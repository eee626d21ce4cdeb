from __future__ import annotations

import pytest

from clockwork_triton.artifact import Manifest, Variant
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.engine.flights import SHORT_NS, Flights

MANIFEST = Manifest("m", "cpu", 1, (), (), 4096, (), {1: Variant(1, 0, (), ())}, {})


class Region:
    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> int:
        self.taken += 1
        return self.taken - 1

    def give_back(self, slot: int) -> None:
        self.taken -= 1

    def write_inputs(self, *_: object) -> None:
        """There are none."""


class Worker:
    def __init__(self) -> None:
        self.region = Region()

    def send(self, *_: object) -> None:
        """Nobody is there."""


class Bench:
    def __init__(self) -> None:
        self.flights = Flights(lambda: 0)
        self._worker = Worker()
        self._actions = 0

    def depart(self, kind: ActionKind, expected_ns: int, worker_id: int = 0) -> int:
        self._actions += 1
        action = Action(self._actions, kind, worker_id, 1, 0, 0, expected_ns, batch_size=1)
        self.flights.depart(action, self._worker, [], MANIFEST)  # type: ignore[arg-type]
        return self._actions

    def land(self, action_id: int) -> None:
        self.flights.land(ActionResult(action_id, 0, Status.TOO_LATE, 0, 0, 0), 0, {}, {1: MANIFEST})


def test_one_short_infer_for_each_worker_is_enough_to_gather_behind() -> None:
    bench = Bench()
    assert not bench.flights.all_short(1)
    first = bench.depart(ActionKind.INFER, SHORT_NS - 1)
    assert bench.flights.all_short(1)
    assert not bench.flights.all_short(2), "a worker is idle"
    bench.depart(ActionKind.INFER, SHORT_NS - 1, worker_id=1)
    assert bench.flights.all_short(2)
    bench.land(first)
    assert not bench.flights.all_short(2)
    bench.flights.lose(1)
    assert not bench.flights.all_short(1)


@pytest.mark.parametrize(("kind", "expected_ns"), [(ActionKind.INFER, SHORT_NS), (ActionKind.LOAD, 1)])
def test_nothing_is_held_up_by_what_may_take_long(kind: ActionKind, expected_ns: int) -> None:
    bench = Bench()
    bench.depart(ActionKind.INFER, 1)
    other = bench.depart(kind, expected_ns)
    assert not bench.flights.all_short(1)
    bench.land(other)
    assert bench.flights.all_short(1)


def test_without_workers_there_is_nothing_to_wait_for() -> None:
    assert not Bench().flights.all_short(0)
