"""What a check finds out about the machine."""

from __future__ import annotations

from typing import NoReturn

import pytest

from benchmarks.gpu import machine as step
from benchmarks.gpu.results import Failure, Machine
from clockwork_triton.doctor import facts as doctor
from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.cuda.driver import CudaError, GpuFacts

GPU = GpuFacts("NVIDIA Fake", (9, 0), 1 << 33, 7, "0000:01:00.0", "GPU-0", 227 << 10, (13, 1))


def test_the_gpu_is_told_before_anyone_else_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def gather(*_: object) -> NoReturn:
        asked.append("doctor")
        raise OSError("it is ill")

    monkeypatch.setattr(step, "facts", lambda device: GPU)
    monkeypatch.setattr(Nvml, "open", lambda: asked.append("NVML"))
    monkeypatch.setattr(doctor, "gather", gather)
    records = step.machine(0)
    first = next(records)
    assert isinstance(first, Machine)
    assert first.facts["compute capability"] == "9.0"
    assert asked == []
    assert next(records) == Machine({"driver": "unknown", "clock": "not followed"})
    assert asked == ["NVML"]
    assert list(records) == [Failure("findings", "OSError: it is ill")]
    assert asked == ["NVML", "doctor"]


def test_without_a_gpu_that_is_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def facts(device: int) -> NoReturn:
        raise CudaError(f"there is no GPU {device}: this machine has 0")

    monkeypatch.setattr(step, "facts", facts)
    assert list(step.machine(0)) == [Failure("machine", "there is no GPU 0: this machine has 0")]
