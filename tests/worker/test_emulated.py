"""The emulated device, in a real worker process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from clockwork_triton.controller.actions import ActionKind, Status
from tests.worker import tiny
from tests.worker.child import Child

KIND = "tesla-v100"
LOAD_NS = 4_000_000
INFER_NS = {1: 2_000_000, 2: 3_000_000}
SLOW_NS = 700_000_000
"""So long that whatever else a test does is over before it, on any machine."""


@pytest.fixture
def quick(tmp_path: Path) -> Path:
    """An artifact without kernels, with a profile."""
    directory = tiny.write(tmp_path / "quick", None)
    tiny.write_profile(directory, KIND, LOAD_NS, INFER_NS)
    return directory


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """The same, but slow to load."""
    directory = tiny.write(tmp_path / "slow", None)
    tiny.write_profile(directory, KIND, SLOW_NS, INFER_NS)
    return directory


@pytest.fixture
def emulated() -> Iterator[Child]:
    child = Child(f"emulated:{KIND}")
    yield child
    child.close()


def test_actions_take_the_times_of_the_profile(emulated: Child, quick: Path) -> None:
    assert (emulated.hello.device_kind, emulated.hello.overlaps) == (KIND, True)
    assert emulated.register(1, quick) == ""
    loaded = emulated.load(1, 0, 1)
    assert loaded.status is Status.OK
    assert loaded.end_ns - loaded.begin_ns >= LOAD_NS
    for size, duration_ns in INFER_NS.items():
        result = emulated.infer(1, size)
        assert result.status is Status.OK
        assert result.end_ns - result.begin_ns >= duration_ns


def test_an_infer_runs_beside_a_load(emulated: Child, quick: Path, slow: Path) -> None:
    emulated.register(1, quick)
    emulated.register(2, slow)
    emulated.load(1, 0, 1)
    load = emulated.order(ActionKind.LOAD, 2, pages=(4, 5))
    infer = emulated.order(ActionKind.INFER, 1, batch_size=1)
    first, second = emulated.result(), emulated.result()
    assert [first.action_id, second.action_id] == [infer, load]
    assert first.status is second.status is Status.OK


def test_a_model_is_not_ready_before_its_load_ends(emulated: Child, slow: Path) -> None:
    emulated.register(1, slow)
    emulated.order(ActionKind.LOAD, 1, pages=(0, 1))
    assert emulated.infer(1, 1).status is Status.NOT_LOADED
    assert emulated.result().status is Status.OK
    assert emulated.infer(1, 1).status is Status.OK


def test_a_model_without_a_profile_cannot_be_emulated(emulated: Child, tmp_path: Path) -> None:
    error = emulated.register(1, tiny.write(tmp_path / "unknown", None))
    assert error == "it has no profile for tesla-v100, whose times are to be emulated"
