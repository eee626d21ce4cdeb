from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from clockwork_triton.worker.cores import ANYWHERE, Cores, as_list, cores_near, parse_list, read_cores, share

PAIRS = {core: frozenset({core, core ^ 1}) for core in range(16)}
"""Siblings have neighbouring numbers, as virtual machines have them."""
HALVES = {core: frozenset({core, (core + 8) % 16}) for core in range(16)}
NODES = (frozenset({*range(4), *range(8, 12)}), frozenset({*range(4, 8), *range(12, 16)}))


@pytest.mark.parametrize(
    ("cores", "workers", "each", "given"),
    [
        (1, 1, 1, [()]),
        (2, 1, 2, [(1,)]),
        (2, 3, 2, [(1,), (1,), (1,)]),
        (2, 2, 1, [(0,), (1,)]),
        (4, 2, 2, [(1,), (2,)]),
        (5, 2, 2, [(1, 2), (3, 4)]),
        (9, 2, 2, [(1, 2), (3, 4)]),
        (3, 2, 1, [(1,), (2,)]),
    ],
)
def test_workers_get_cores_of_their_own_as_far_as_they_go(
    cores: int, workers: int, each: int, given: list[tuple[int, ...]]
) -> None:
    assert share(Cores(frozenset(range(cores))), [ANYWHERE] * workers, each) == given


@pytest.mark.parametrize(
    ("cores", "near", "given"),
    [
        (Cores(frozenset(range(8)), PAIRS), [ANYWHERE], [(2, 4)]),
        (Cores(frozenset(range(4)), PAIRS), [ANYWHERE], [(1, 2)]),
        (Cores(frozenset(range(16)), HALVES), [ANYWHERE] * 2, [(1, 2), (3, 4)]),
        (Cores(frozenset({1, 2, 3, 5}), PAIRS), [ANYWHERE], [(2, 5)]),
    ],
    ids=["neighbours", "too few for one each", "halves", "a sibling that is not allowed"],
)
def test_a_worker_gets_different_physical_cores(
    cores: Cores, near: Sequence[frozenset[int]], given: list[tuple[int, ...]]
) -> None:
    assert share(cores, near, 2) == given


@pytest.mark.parametrize(
    ("near", "given"),
    [
        ([NODES[0], NODES[1]], [(1, 2), (4, 5)]),
        ([NODES[1], NODES[0]], [(4, 5), (1, 2)]),
        ([NODES[1], NODES[1]], [(4, 5), (6, 7)]),
        ([NODES[1]] * 3, [(4, 5), (6, 7), (12, 13)]),
        ([ANYWHERE, NODES[0]], [(3, 4), (1, 2)]),
        ([frozenset({2}), ANYWHERE], [(1, 2), (3, 4)]),
        ([frozenset(range(100, 108))], [(1, 2)]),
    ],
)
def test_a_worker_gets_cores_of_the_node_of_its_gpu(
    near: Sequence[frozenset[int]], given: list[tuple[int, ...]]
) -> None:
    assert share(Cores(frozenset(range(16)), HALVES), near, 2) == given


def test_the_system_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2})
    for core, text in ((0, "0,2\n"), (2, "0,2\n")):
        folder = tmp_path / f"sys/devices/system/cpu/cpu{core}/topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(text)
    assert read_cores(tmp_path) == Cores(frozenset({0, 1, 2}), {0: frozenset({0, 2}), 2: frozenset({0, 2})})
    device = tmp_path / "sys/bus/pci/devices/0000:c1:00.0"
    device.mkdir(parents=True)
    (device / "local_cpulist").write_text("0-1,4-5\n")
    for written in ("0000:C1:00.0", "00000000:C1:00.0", "0000:c1:00.0"):
        assert cores_near(written, tmp_path) == {0, 1, 4, 5}
    far = tmp_path / "sys/bus/pci/devices/10000:c1:00.0"
    far.mkdir()
    (far / "local_cpulist").write_text("8-9\n")
    for written in ("10000:c1:00.0", "00010000:C1:00.0"):
        assert cores_near(written, tmp_path) == {8, 9}
    assert cores_near("0000:17:00.0", tmp_path) == ANYWHERE
    assert cores_near("", tmp_path) == ANYWHERE


@pytest.mark.parametrize("text", ["0", "0-3,8", "1,3,5-6"])
def test_lists_are_read_and_written_as_the_system_does(text: str) -> None:
    assert as_list(parse_list(text)) == text


@pytest.mark.parametrize("text", ["", "\n", "all", "-1"])
def test_what_is_no_list_names_no_cores(text: str) -> None:
    assert parse_list(text) == ANYWHERE
