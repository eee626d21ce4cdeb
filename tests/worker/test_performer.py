from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.transport.messages import Part, Stages
from clockwork_triton.worker.performer import Outcome, Performer
from clockwork_triton.worker.windows import Order
from tests.worker.fake_device import FakeDevice

SLOTS = 2
NOW_NS = 777


class Stage:
    """A performer over a fake device that has model 1."""

    def __init__(self) -> None:
        self.device = FakeDevice()
        self.performer = Performer(self.device, SLOTS, clock=lambda: NOW_NS)
        self.register(1)

    def register(self, model_id: int) -> None:
        for _ in self.device.register(model_id, Path("artifact")):
            pass

    def do(
        self,
        kind: ActionKind,
        model_id: int = 1,
        *,
        size: int = 1,
        slot: int = 0,
        pages: tuple[int, ...] = (),
    ) -> Outcome:
        return self.performer.perform(Order(Action(1, kind, 0, model_id, 0, 1, 0, size, (), pages), slot, 0))

    def load(self, model_id: int, *pages: int) -> Outcome:
        return self.do(ActionKind.LOAD, model_id, pages=pages)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_an_infer_needs_the_model_loaded(stage: Stage) -> None:
    assert stage.do(ActionKind.INFER).status is Status.NOT_LOADED
    assert stage.load(1, 0, 4).status is Status.OK
    assert stage.do(ActionKind.INFER, size=2, slot=1).status is Status.OK
    assert stage.device.calls[-1] == ("infer", 1, 2, 1)


def test_stages_are_those_the_device_measured(stage: Stage) -> None:
    assert stage.load(1, 0, 4).stages == Stages(200, 250)
    assert stage.do(ActionKind.INFER).stages == Stages(300, 350)


@pytest.mark.parametrize("kind", list(ActionKind))
def test_an_unknown_model_is_said_to_be_unknown(stage: Stage, kind: ActionKind) -> None:
    assert stage.do(kind, 5).status is Status.UNKNOWN_MODEL


def test_a_model_is_loaded_once(stage: Stage) -> None:
    stage.load(1, 0, 4)
    assert stage.load(1, 1, 6).status is Status.ALREADY_LOADED
    assert stage.device.calls.count(("load", 1, (0, 4))) == 1


def test_pages_of_another_model_are_not_overwritten(stage: Stage) -> None:
    stage.register(2)
    stage.load(1, 0, 4)
    refused = stage.load(2, 1, 5)
    assert refused == Outcome(Status.INVALID_ACTION, "page 5 belongs to model 1")
    assert stage.load(2, 1, 2).status is Status.OK


def test_unloading_frees_the_pages(stage: Stage) -> None:
    stage.register(2)
    stage.load(1, 0, 4)
    assert stage.do(ActionKind.UNLOAD) == Outcome(Status.OK, "", Stages(NOW_NS, NOW_NS))
    assert stage.do(ActionKind.UNLOAD).status is Status.NOT_LOADED
    assert stage.do(ActionKind.INFER).status is Status.NOT_LOADED
    assert stage.load(2, 0, 4).status is Status.OK


@pytest.mark.parametrize(("size", "slot"), [(3, 0), (0, 0), (1, SLOTS)])
def test_a_batch_size_or_slot_that_is_not_there_is_invalid(stage: Stage, size: int, slot: int) -> None:
    stage.load(1, 0, 4)
    outcome = stage.do(ActionKind.INFER, size=size, slot=slot)
    assert outcome.status is Status.INVALID_ACTION
    assert outcome.message


def test_a_failure_of_the_device_is_an_outcome(stage: Stage) -> None:
    stage.load(1, 0, 4)
    stage.device.fails_with = ValueError("bad kernel")
    assert stage.do(ActionKind.INFER) == Outcome(Status.DEVICE_ERROR, "ValueError: bad kernel")
    stage.device.fails_with = None
    assert stage.do(ActionKind.INFER).status is Status.OK


def test_a_load_that_fails_leaves_the_pages_free(stage: Stage) -> None:
    stage.device.fails_with = MemoryError()
    assert stage.load(1, 0, 4).status is Status.DEVICE_ERROR
    assert stage.do(ActionKind.INFER).status is Status.NOT_LOADED
    stage.device.fails_with = None
    assert stage.load(1, 0, 4).status is Status.OK


def test_unregistering_unloads(stage: Stage) -> None:
    stage.load(1, 0, 4)
    list(stage.performer.unregister(1))
    assert stage.do(ActionKind.INFER).status is Status.UNKNOWN_MODEL
    stage.register(2)
    assert stage.load(2, 0, 4).status is Status.OK


def test_a_model_that_runs_is_not_unloaded() -> None:
    """Where the device overlaps, the two come from two threads; here one asks in the other."""

    class Reentrant(FakeDevice):
        def infer(self, model_id: int, batch_size: int, slot: int) -> Stages:
            inner.append(stage.do(ActionKind.UNLOAD, model_id))
            return super().infer(model_id, batch_size, slot)

    inner: list[Outcome] = []
    stage = Stage()
    stage.device = Reentrant()
    stage.performer = Performer(stage.device, SLOTS)
    stage.register(1)
    stage.load(1, 0, 4)
    assert stage.do(ActionKind.INFER).status is Status.OK
    assert inner == [Outcome(Status.INVALID_ACTION, "an INFER of the model is running")]
    assert stage.do(ActionKind.UNLOAD).status is Status.OK


def test_an_infer_whose_outputs_are_on_their_way_is_made_whole_later(stage: Stage) -> None:
    stage.load(1, 0, 4)
    stage.device.overlaps = True
    outcome = stage.do(ActionKind.INFER)
    assert (outcome.status, outcome.stages) == (Status.OK, Stages())
    assert outcome.outputs is not None
    order = Order(Action(1, ActionKind.INFER, 0, 1, 0, 1, 0, 1), 0, 0)
    assert stage.performer.finish(order, outcome.outputs).stages == Stages(300, 350, 0, 0, 350, 355)


def test_outputs_that_do_not_come_are_a_failure_of_the_device(stage: Stage) -> None:
    stage.load(1, 0, 4)
    stage.device.overlaps = True
    outcome = stage.do(ActionKind.INFER)
    assert outcome.outputs is not None
    stage.device.fails_with = RuntimeError("the bus is gone")
    order = Order(Action(1, ActionKind.INFER, 0, 1, 0, 1, 0, 1), 0, 0)
    failed = stage.performer.finish(order, outcome.outputs)
    assert (failed.status, failed.message) == (Status.DEVICE_ERROR, "RuntimeError: the bus is gone")


class FakeCarrier:
    """Says when it moves tensors."""

    def __init__(self, calls: list[tuple[object, ...]]) -> None:
        self._calls = calls

    def fetch(self, manifest: object, batch_size: int, slot: int, parts: object) -> None:
        self._calls.append(("fetch", batch_size, slot))

    def bring(self, manifest: object, batch_size: int, slot: int, parts: object) -> None:
        self._calls.append(("bring", batch_size, slot))


def test_tensors_of_front_ends_are_in_the_slot_before_the_device_takes_them() -> None:
    device = FakeDevice()
    performer = Performer(device, SLOTS, FakeCarrier(device.calls))  # type: ignore[arg-type]
    for _ in device.register(1, Path("artifact")):
        pass
    performer.perform(Order(Action(1, ActionKind.LOAD, 0, 1, 0, 1, 0, 0, (), (0, 4)), 0, 0))
    device.calls.clear()
    action = Action(2, ActionKind.INFER, 0, 1, 0, 1, 0, 1)
    assert performer.perform(Order(action, 1, 0, (Part(0, 0, 0, 1),))).status is Status.OK
    assert [call[0] for call in device.calls] == ["fetch", "expect", "infer", "bring"]
