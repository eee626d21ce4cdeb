"""The process of a step, as far as it is more than what it measures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import step
from benchmarks.gpu.results import Record
from benchmarks.gpu.tasks import Plan
from clockwork_triton.nvml import Nvml
from clockwork_triton.worker.process import become_real_time
from tests.benchmarks.gpu.prepared import prepared


def test_what_is_measured_has_what_a_worker_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who knows the GPU's clock, and real-time priority for the thread of INFERs alone."""
    nvml = Nvml(None)
    given: list[Any] = []
    monkeypatch.setattr(Nvml, "open", lambda: nvml)
    monkeypatch.setattr(step, "prepare_process", given.append)
    monkeypatch.setattr(step, "keep_cores_awake", lambda: given.append("awake"))
    monkeypatch.setattr(step, "LibCuda", given.append)

    def measuring(model: object, open_driver: Any, runs: int, until: float, **bench: Any) -> Iterator[Record]:
        open_driver()
        given.extend([runs, until, bench])
        yield from ()

    key = prepared(tmp_path / "kit", monkeypatch, weights=False).model.key
    task = Plan(tmp_path / "kit", 3, 7, (), ()).task("infer", key)
    list(step._measuring(measuring)(task, 9.0))
    assert given == [(), "awake", 3, 7, 9.0, {"nvml": nvml, "prepare": become_real_time}]
