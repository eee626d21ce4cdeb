from __future__ import annotations

from clockwork_triton.controller.actions import Action, ActionKind, Status
from clockwork_triton.controller.specs import WorkerSpec
from clockwork_triton.simulation.device import FOREVER, SimulatedDevice

LOAD, UNLOAD, INFER = ActionKind.LOAD, ActionKind.UNLOAD, ActionKind.INFER


def device(*, overlaps: bool = True) -> SimulatedDevice:
    return SimulatedDevice(
        WorkerSpec(7, "v100", 10, 8, overlaps), lambda action, begin_ns: 100 * (action.batch_size or 5)
    )


def action(kind: ActionKind, earliest_ns: int = 0, latest_ns: int = FOREVER, batch_size: int = 0) -> Action:
    return Action(1, kind, 7, 3, earliest_ns, latest_ns, 0, batch_size)


def test_actions_of_one_executor_run_one_after_the_other() -> None:
    one = device()
    assert one.accept(action(LOAD), 10)[0] == 510
    leaves, first = one.accept(action(INFER, 510, batch_size=1), 20)
    assert (leaves, first.begin_ns, first.end_ns) == (610, 510, 610)
    _, second = one.accept(action(INFER, batch_size=2), 30)
    assert (second.begin_ns, second.end_ns) == (610, 810)
    assert (one.use.load_ns, one.use.infer_ns) == (500, 300)


def test_an_action_waits_for_its_earliest_and_is_refused_after_its_latest() -> None:
    one = device()
    one.accept(action(LOAD, 1000), 0)
    leaves, late = one.accept(action(INFER, 0, 1400, 1), 1401)
    assert (leaves, late.status, late.begin_ns) == (1401, Status.TOO_LATE, 0)
    assert one.accept(action(INFER, 0, 1500, 1), 1450)[1].status is Status.NOT_LOADED
    assert one.accept(action(INFER, 0, 1500, 1), 1500)[1].status is Status.OK


def test_a_model_is_there_from_load_to_unload() -> None:
    one = device()
    assert one.accept(action(UNLOAD), 0)[1].status is Status.NOT_LOADED
    one.accept(action(LOAD), 0)
    assert one.accept(action(LOAD), 0)[1].status is Status.ALREADY_LOADED
    assert one.accept(action(UNLOAD), 600)[1].status is Status.OK
    assert one.accept(action(INFER, batch_size=1), 700)[1].status is Status.NOT_LOADED


def test_a_device_that_does_not_overlap_has_one_executor() -> None:
    one = device(overlaps=False)
    one.accept(action(LOAD), 0)
    _, infer = one.accept(action(INFER, batch_size=1), 0)
    assert infer.begin_ns == 500


def test_time_after_the_end_does_not_count() -> None:
    one = device()
    one.counted_until_ns = 520
    one.accept(action(LOAD), 0)
    one.accept(action(INFER, 500, batch_size=1), 0)
    assert (one.use.load_ns, one.use.infer_ns) == (500, 20)
