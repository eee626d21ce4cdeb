"""Verdicts, and what the report says of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu.kit import Model
from benchmarks.gpu.report import Report
from benchmarks.gpu.results import (
    Failure,
    Findings,
    Infer,
    InferTimes,
    Load,
    Machine,
    OneSlot,
    Plain,
    Record,
    Registering,
    Served,
    Suite,
    Times,
    Torch,
)
from benchmarks.gpu.verdicts import MISSED, NOT_MEASURED, verdicts

KEY = "resnet50 tf32"
MODEL = Model("resnet50", "tf32", (1,), True, Path("kit"))
TIMES = Times(20_000, 100.0, 100.4, 100.9, 180.0)
WALL = Times(20_000, 130.0, 150.0, 260.0, 300.0)
ANSWER = Times(20_000, 140.0, 165.0, 275.0, 310.0)
INFER_TIMES = InferTimes(TIMES, WALL, ANSWER)
INFER = Infer(KEY, 1, 8, 60, 1e-4, 2e-3, INFER_TIMES, 0.5, 0.6, 20.0, 40.0)
LOAD = Load(KEY, 100_000_000, TIMES, Times(50, 2000.0, 2100.0, 2100.0, 2100.0), 52.0, {"weights": 1 << 28}, 0)
WELL: list[Record] = [
    Machine({"GPU": "fake"}),
    Machine({"driver": "580.1"}),
    Findings([{"subject": "cores", "found": "1", "change": "more"}]),
    INFER,
    LOAD,
    Torch(KEY, 1, "eager", 200.0),
    Torch(KEY, 1, "eager, graph", 90.0),
    Served(KEY, 1, 800.0, 1.0, 1.2, 0.1),
    Served(KEY, 16, 3000.0, 5.0, 6.0, None),
    Suite("4 passed in 0.1s", passed=True),
]


def test_all_is_well() -> None:
    report = Report(WELL, [MODEL], [KEY], {"machine": 0.3})
    found = {verdict.target: verdict.found for verdict in report.verdicts()}
    assert report.all_met
    assert found[f"{KEY}, batch 1: p99.99 within 1 % of the median"] == (
        "0.90 % over 20000 runs; by the wall clock 100.00 %"
    )
    assert found[f"{KEY}: LOAD to other pages at 90 % of a raw copy"] == "96 % (50.0 of 52.0 GB/s)"
    assert found[f"{KEY}, batch 1: at most 1.5 times PyTorch's best"] == "1.11 times"
    # One millisecond, less the execution's tenth and the copies' twenty microseconds.
    assert found[f"{KEY}: serving overhead at most 1 ms at the median"] == "0.88 ms"
    text = report.to_markdown()
    assert "- GPU: fake\n- driver: 580.1\n\n" in text
    assert "| cores | 1 | more |" in text
    assert "| machine | 0.3 |" in text
    wall, answer = "130.0 | 150.0 | 260.0 | 300.0", "140.0 | 165.0 | 275.0 | 310.0"
    times = f"20000 | 100.0 | 100.4 | 100.9 | 180.0 | 0.90 % | {wall} | {answer}"
    assert f"| {KEY} | 1 | 8 slots in turn | {times} |" in text
    assert json.loads(report.to_json())["records"][3]["model"] == KEY


def test_what_was_not_measured_is_no_success() -> None:
    found = verdicts([], [MODEL], [KEY])
    assert len(found) == 7
    assert {verdict.state for verdict in found} == {NOT_MEASURED}
    assert {verdict.found for verdict in found} == {"it was not reached"}
    report = Report([], [MODEL], [KEY], {})
    assert not report.all_met
    assert f"| **not measured** | {KEY}, batch 1: right | it was not reached |" in report.to_markdown()


@pytest.mark.parametrize("what", [f"infer {KEY}", f"infer {KEY} 1"])
def test_the_reason_nearest_to_it_is_told(what: str) -> None:
    others = [record for record in WELL if not isinstance(record, Infer)]
    records = [*others, Failure(what, "an illegal | address"), Failure("infer resnet50 fp16", "another's")]
    found = {verdict.target: verdict for verdict in verdicts(records, [MODEL], [KEY])}
    right = found[f"{KEY}, batch 1: right"]
    assert (right.state, right.found) == (NOT_MEASURED, "an illegal | address")
    torch = found[f"{KEY}, batch 1: at most 1.5 times PyTorch's best"]
    assert (torch.state, torch.found) == (NOT_MEASURED, "its INFERs were not measured")
    text = Report(records, [MODEL], [KEY], {}).to_markdown()
    assert f"| **not measured** | {KEY}, batch 1: right | an illegal \\| address |" in text
    assert f"- {what}: an illegal | address" in text


def _state(target: str, *changed: Record) -> str:
    kinds = {type(record) for record in changed}
    records = [*(record for record in WELL if type(record) not in kinds), *changed]
    return {verdict.target: verdict.state for verdict in verdicts(records, [MODEL], [KEY])}[target]


def test_what_is_missed_is_said() -> None:
    slow = InferTimes(Times(19_999, 100, 101, 101.2, 110), TIMES, TIMES)
    few = Infer(KEY, 1, 8, 60, float("nan"), 2e-3, slow, 0, 0, 0, 0)
    assert _state(f"{KEY}, batch 1: right", few) == MISSED
    assert _state(f"{KEY}, batch 1: at least 20000 runs", few) == MISSED
    assert _state(f"{KEY}, batch 1: p99.99 within 1 % of the median", few) == MISSED
    assert _state(f"{KEY}, batch 1: at most 1.5 times PyTorch's best", Torch(KEY, 1, "eager", 60.0)) == MISSED
    torch = f"{KEY}, batch 1: at most 1.5 times PyTorch's best"
    assert _state(torch, Failure(f"PyTorch {KEY} 1", "eager, graph: no")) == NOT_MEASURED
    served = f"{KEY}: serving overhead at most 1 ms at the median"
    assert _state(served, Served(KEY, 1, 800.0, 1.2, 1.2, 0.1)) == MISSED
    assert _state(served, Served(KEY, 16, 800.0, 1.2, 1.2, None)) == NOT_MEASURED
    assert _state("the tests that need a GPU pass", Suite("1 failed", passed=False)) == MISSED
    random = Infer(KEY, 1, 8, 60, None, 2e-3, INFER_TIMES, 0, 0, 0, 0)
    assert _state(f"{KEY}, batch 1: right", random) == NOT_MEASURED


def test_what_a_change_of_slot_costs_stands_in_rows_of_their_own() -> None:
    same = InferTimes(Times(1000, 99.0, 99.0, 99.0, 99.0), WALL, ANSWER)
    records: list[Record] = [Plain(KEY, 1, INFER_TIMES), INFER, OneSlot(KEY, 1, same)]
    text = Report(records, [MODEL], [KEY], {}).to_markdown()
    ways = [line.split(" | ")[2] for line in text.splitlines() if line.startswith(f"| {KEY} | 1 | ")]
    assert ways[:3] == ["kernel by kernel", "8 slots in turn", "one slot"]
    assert f"| {KEY} | 1 | one slot | 1000 | 99.0 |" in text


def test_infers_beside_a_registration_stand_below_quiet_ones() -> None:
    disturbed = InferTimes(TIMES, Times(20_000, 131.0, 900.0, 4000.0, 9000.0), ANSWER)
    report = Report([Registering(KEY, 1, INFER_TIMES, disturbed, 12)], [MODEL], [KEY], {})
    lines = report.to_markdown().splitlines()
    first = lines.index("## INFER beside a registration, microseconds") + 4
    assert lines[first].startswith(f"| {KEY} | 1 | nothing | 20000 | 100.0 |")
    assert "| 131.0 | 900.0 | 4000.0 | 9000.0 |" in lines[first + 1]
    assert lines[first + 1].startswith(f"| {KEY} | 1 | 12 registrations | 20000 |")
    (record,) = json.loads(report.to_json())["records"]
    assert record["times"]["wall"]["p99"] == 900.0
    assert record["quiet"]["wall"]["longest"] == 300.0


def test_a_report_is_written_over_the_last(tmp_path: Path) -> None:
    for records in ([], WELL):
        Report(records, [MODEL], [KEY], {}).write(tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["gpu-report.json", "gpu-report.md"]
    assert len(json.loads((tmp_path / "out" / "gpu-report.json").read_text())["records"]) == len(WELL)
