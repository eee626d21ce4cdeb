from __future__ import annotations

from pathlib import Path

import pytest

from clockwork_triton import workers
from clockwork_triton.flags import parse_serve
from clockwork_triton.worker.cores import ANYWHERE, Cores
from clockwork_triton.worker.cuda.driver import GpuFacts
from clockwork_triton.workers import announce, worker_options

NODES = {"0000:17:00.0": frozenset(range(4)), "0000:C1:00.0": frozenset(range(4, 8))}


@pytest.fixture
def two_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a GPU at each of two nodes of four cores."""

    def facts(device: str) -> GpuFacts | None:
        kind, _, number = device.partition(":")
        if kind != "cuda":
            return None
        bus = list(NODES)[int(number)]
        return GpuFacts("NVIDIA Fake", (9, 0), 1 << 30, 7, bus, "GPU-0", 227 << 10, (13, 0))

    monkeypatch.setattr(workers, "gpu_facts", facts)
    monkeypatch.setattr(workers, "read_cores", lambda: Cores(frozenset(range(8))))
    monkeypatch.setattr(workers, "cores_near", lambda bus: NODES.get(bus, ANYWHERE))


@pytest.mark.usefixtures("two_nodes")
def test_each_gpu_is_served_on_cores_of_its_node_and_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options, _ = parse_serve([f"--model-repository={tmp_path}", "--device=cuda:1,cuda:0,cpu:0"], ["adaptive"])
    caplog.set_level("INFO")
    made = worker_options(options)
    assert [(worker.device, worker.cores) for worker in made] == [
        ("cuda:1", (4, 5)),
        ("cuda:0", (1, 2)),
        ("cpu:0", (3, 6)),
    ]
    announce(made)
    assert caplog.messages == [
        "cuda:1 is NVIDIA Fake at 0000:C1:00.0, served on cores 4-5",
        "cuda:0 is NVIDIA Fake at 0000:17:00.0, served on cores 1-2",
    ]
