from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clockwork_triton.doctor.checks import examine
from clockwork_triton.doctor.clock import clock
from clockwork_triton.doctor.finding import Verdict
from clockwork_triton.nvml import CLOCK_SETTING, GpuSetup
from tests.doctor.machines import GPU, WELL, with_driver, with_gpu, wrong


@pytest.mark.parametrize(
    ("changes", "subject", "verdict", "text"),
    [
        ({"clock_mhz": None, "reasons": 0}, "GPU 0 clock", Verdict.POOR, "does not tell"),
        ({"persistent": False}, "GPU 0 persistence", Verdict.POOR, "off"),
        ({"reasons": CLOCK_SETTING | 0x40}, "GPU 0 slowdown", Verdict.POOR, "heat"),
        ({"reasons": CLOCK_SETTING | 0x4}, "GPU 0 power", Verdict.POOR, "limit of power"),
        ({"link_width": 8}, "GPU 0 bus", Verdict.POOR, "8 lanes of 16"),
        ({"sliced": True}, "GPU 0 slices", Verdict.POOR, "one slice"),
        ({"compute_mode": 2}, "GPU 0 mode", Verdict.BAD, "prohibited"),
    ],
)
def test_what_is_wrong_with_a_gpu_is_named(
    changes: dict[str, Any], subject: str, verdict: Verdict, text: str
) -> None:
    (finding,) = wrong(with_gpu(**changes))
    assert (finding.subject, finding.verdict) == (subject, verdict)
    assert text in finding.found


def test_a_gpu_that_keeps_others_out_is_only_mentioned() -> None:
    facts = with_gpu(compute_mode=3)
    assert wrong(facts) == []
    assert "exclusive" in next(finding.found for finding in examine(facts) if finding.subject == "GPU 0 mode")


def test_a_lost_gpu_is_named_and_the_others_are_looked_at() -> None:
    both = (GpuSetup(0, lost=True), replace(GPU, index=1, persistent=False))
    lost, other = wrong(replace(WELL, setups=both, near=(frozenset(),) * 2))
    assert (lost.subject, lost.verdict) == ("GPU 0", Verdict.BAD)
    assert "Xid" in lost.change
    assert other.subject == "GPU 1 persistence"


def test_a_gpu_that_stops_the_driver_is_named_too() -> None:
    facts = replace(
        with_driver(error="cuInit: unknown error (999)", status=999), setups=(GpuSetup(0, lost=True),)
    )
    assert [finding.subject for finding in wrong(facts)] == ["GPUs", "GPU 0"]


@pytest.mark.parametrize(
    ("changes", "alone", "verdict", "text"),
    [
        ({"clock_mhz": 1410, "reasons": CLOCK_SETTING}, False, Verdict.GOOD, "by a setting"),
        ({"clock_mhz": 345, "reasons": 0x1}, True, Verdict.POOR, "not locked"),
        ({"clock_mhz": 345, "reasons": 0x1}, False, Verdict.POOR, "not locked"),
        ({"clock_mhz": 345, "utilization": 0.9}, False, Verdict.POOR, "cannot be told"),
        ({"clock_mhz": 1980}, False, Verdict.POOR, "cannot be told"),
        ({"clock_mhz": 1980}, True, Verdict.GOOD, "locked"),
        ({"clock_mhz": 1980, "persistent": False}, True, Verdict.POOR, "cannot be told"),
        ({"clock_mhz": 1200, "reasons": 0x1}, True, Verdict.GOOD, "locked"),
        ({"clock_mhz": 1980, "utilization": 0.9}, True, Verdict.POOR, "cannot be told"),
    ],
)
def test_a_clock_is_called_locked_only_where_that_shows(
    changes: dict[str, Any], alone: bool, verdict: Verdict, text: str
) -> None:
    finding = clock(replace(GPU, **{"reasons": 0, **changes}), alone)
    assert finding.verdict is verdict
    assert text in finding.found
    assert bool(finding.change) is (verdict is not Verdict.GOOD)


@pytest.mark.parametrize("locked", [600, 1095, 1410])
def test_whoever_locks_a_lower_clock_as_told_is_not_told_that_it_is_not_locked(locked: int) -> None:
    for reasons in (0, 0x1, CLOCK_SETTING):
        for processes in (0, 1):
            for finding in examine(with_gpu(clock_mhz=locked, reasons=reasons, processes=processes)):
                assert "not locked" not in finding.found
