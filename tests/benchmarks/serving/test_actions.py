from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.serving import actions
from benchmarks.serving.actions import Record
from clockwork_triton.controller.actions import Action, ActionKind, ActionResult, Status
from clockwork_triton.telemetry.action_log import ActionLog


def record(kind: str, model: str, end_ns: int) -> Record:
    return Record(end_ns, end_ns, kind, "OK", model, 0, 0, 10, end_ns - 7, end_ns, 0)


def test_reads_what_the_server_writes(tmp_path: Path) -> None:
    action = Action(3, ActionKind.INFER, 0, 1, 100, 200, 40, batch_size=4, request_ids=(8, 9))
    with closing(ActionLog(tmp_path / "log")) as log:
        log.record(190, action, ActionResult(3, 0, Status.OK, 90, 120, 170), "digits", 6)
        log.record(260, action, ActionResult(4, 0, Status.TOO_LATE, 90, 0, 0), "digits", 6)
    first, second = actions.read(tmp_path / "log")
    assert first == Record(190, 3, "INFER", "OK", "digits", 4, 2, 40, 120, 170, 6)
    assert first.measured_ns == 50
    assert first.ok
    assert not second.ok


def test_half_a_line_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("\t".join(Record.__dataclass_fields__) + "\n" + "1\t2\tINF")
    assert actions.read(path) == []


def test_served_leaves_out_calibration_failures_and_others() -> None:
    good = replace(record("INFER", "a", 1), requests=1)
    others = [
        replace(good, requests=0),
        replace(good, status="DEVICE_ERROR"),
        replace(good, model="b"),
        replace(good, kind="LOAD"),
    ]
    assert actions.served([*others, good], "a") == [good]


def test_residency_adds_up_loads_and_unloads() -> None:
    log = [
        record("LOAD", "a", 1),
        record("LOAD", "b", 3),
        record("INFER", "b", 4),
        record("UNLOAD", "a", 2),
        replace(record("LOAD", "a", 5), status="TOO_LATE"),
    ]
    assert actions.residency(log, {"a": 10, "b": 7}) == [10, 0, 7]


def test_residency_refuses_what_cannot_be() -> None:
    with pytest.raises(AssertionError, match="loaded twice"):
        actions.residency([record("LOAD", "a", 1), record("LOAD", "a", 2)], {"a": 1})
    with pytest.raises(AssertionError, match="without being loaded"):
        actions.residency([record("UNLOAD", "a", 1)], {"a": 1})
