from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from clockwork_triton.doctor.checks import examine
from clockwork_triton.doctor.facts import Facts
from clockwork_triton.doctor.finding import Finding, Verdict
from tests.doctor.machines import GPU, WELL, with_driver, wrong

MISSING = {"missing": True, "error": "there is no CUDA driver here"}
NONE = {"error": "cuInit: no CUDA-capable device is detected (100)", "status": 100}


def _first(facts: Facts) -> Finding:
    finding = examine(facts)[0]
    assert finding.subject == "GPUs"
    return finding


@pytest.mark.parametrize(
    ("status", "change"),
    [
        (34, "stubs"),
        (802, "fabric manager"),
        (803, "reboot"),
        (804, "cuda-compat"),
        (999, "nvidia_uvm"),
        (46, "nvidia-smi"),
        (0, "nvidia-smi"),
    ],
)
@pytest.mark.parametrize("setups", [(GPU,), None])
def test_a_driver_that_does_not_work_is_no_machine_without_gpus(
    status: int, change: str, setups: tuple[Any, ...] | None
) -> None:
    error = f"cuInit: some error ({status})"
    finding = _first(replace(with_driver(error=error, status=status), setups=setups))
    assert finding.verdict is Verdict.BAD
    assert error in finding.found
    assert change in finding.change
    assert "on the CPU" in finding.gain


@pytest.mark.parametrize(
    ("driver", "setups", "verdict", "text"),
    [
        (MISSING, None, Verdict.GOOD, "there is no CUDA driver here; models are served on the CPU"),
        (MISSING, (GPU,), Verdict.BAD, "though there are 1"),
        (NONE, None, Verdict.POOR, "finds none"),
        (NONE, (), Verdict.GOOD, "none, though there is a driver"),
        (NONE, (GPU,), Verdict.BAD, "finds none, though there are 1"),
        ({}, (GPU,), Verdict.BAD, "finds none, though there are 1"),
        ({**NONE, "visible": ""}, (GPU,), Verdict.GOOD, "hides them"),
        ({**NONE, "visible": "-1"}, (GPU,), Verdict.GOOD, "hides them"),
        ({**NONE, "visible": "7"}, (GPU,), Verdict.BAD, "none of CUDA_VISIBLE_DEVICES=7"),
    ],
)
def test_why_there_is_no_gpu_is_told_apart(
    driver: dict[str, Any], setups: tuple[Any, ...] | None, verdict: Verdict, text: str
) -> None:
    finding = _first(replace(with_driver(**driver), setups=setups))
    assert finding.verdict is verdict
    assert text in finding.found
    assert bool(finding.change) is (verdict is not Verdict.GOOD)


def test_a_compiler_that_is_newer_than_the_driver() -> None:
    (finding,) = wrong(replace(with_driver(gpus=1, cuda=(12, 4)), compiler_cuda=(13, 0)))
    assert (finding.subject, finding.verdict) == ("nvcc", Verdict.BAD)
    assert "of CUDA 13.0, newer than the driver's 12.4" in finding.found


def test_a_driver_that_is_too_old() -> None:
    error = "the driver has CUDA 12.2, and 12.4 is needed: a driver of 550 or later"
    finding = _first(with_driver(error=error, cuda=(12, 2)))
    assert (finding.verdict, finding.found) == (Verdict.BAD, error)
    assert "cuda-compat" in finding.change
    assert "on the CPU" in finding.gain


@pytest.mark.parametrize(
    ("driver", "nvcc"), [((12, 4), (12, 9)), ((13, 0), (12, 4)), ((12, 4), None)], ids=str
)
def test_code_of_the_same_major_version_or_an_older_one_loads(
    driver: tuple[int, int], nvcc: tuple[int, int] | None
) -> None:
    assert wrong(replace(with_driver(gpus=1, cuda=driver), compiler_cuda=nvcc)) == []


def test_a_gpu_that_nothing_can_be_compiled_for_is_named() -> None:
    facts = replace(WELL, driver=replace(WELL.driver, gpus=2, old={1: (7, 5)}))
    (finding,) = wrong(facts)
    assert (finding.subject, finding.verdict) == ("cuda:1", Verdict.POOR)
    assert "compute capability 7.5, while models are compiled for 8.0 and newer" in finding.found


def test_a_machine_with_old_gpus_alone_is_asked_nothing_of_the_others() -> None:
    facts = replace(WELL, driver=replace(WELL.driver, old={0: (7, 5)}), compiler=None, real_time=False)
    assert [finding.subject for finding in wrong(facts)] == ["cuda:0"]


def test_what_is_not_told_is_not_judged() -> None:
    (finding,) = wrong(with_driver(gpus=1))
    assert (finding.subject, finding.verdict) == ("CUDA", Verdict.POOR)


@pytest.mark.parametrize("missing", [{"compiler": None, "compiler_cuda": None}, {"host_compiler": None}])
def test_no_compiler(missing: dict[str, Any]) -> None:
    (finding,) = wrong(replace(WELL, **missing))
    assert (finding.subject, finding.verdict) == ("nvcc", Verdict.BAD)
    assert "g++" in finding.change
