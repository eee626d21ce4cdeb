"""A worker with its threads on a GPU: what LOADs, INFERs and registrations beside each other give."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.gpu import kernels
from clockwork_triton.controller.actions import ActionResult, Status
from tests.gpu.peer import SLOTS, Peer
from tests.gpu.subject import Subject, kernel, needs_gpu, subject

pytestmark = needs_gpu
ROUNDS = 6


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return subject(tmp_path_factory.mktemp("kit"))


@pytest.fixture
def peer(model: Subject) -> Iterator[Peer]:
    peer = Peer(model.manifest)
    yield peer
    peer.close()


def _other_weights(model: Subject, folder: Path) -> Path:
    """The same model with weights that give something else, as a copy of the artifact."""
    copy = folder / "other"
    shutil.copytree(model.artifact, copy)
    values = np.fromfile(copy / "weights.bin", np.uint8)
    np.zeros_like(values).tofile(copy / "weights.bin")
    return copy


def _infer_all(peer: Peer, model: Subject, model_id: int) -> list[tuple[int, int, int]]:
    """Orders INFERs from all slots, of the batch sizes by turns: id, slot and batch size of each."""
    orders = []
    batches = list(model.cases)
    for slot in range(SLOTS):
        batch = batches[slot % len(batches)]
        peer.put(slot, batch, model.cases[batch][0])
        orders.append((peer.infer(model_id, batch, slot), slot, batch))
    return orders


def _well(peer: Peer, action_id: int) -> ActionResult:
    result = peer.result(action_id)
    assert result.status is Status.OK, result.message
    return result


def _right(peer: Peer, model: Subject, orders: list[tuple[int, int, int]]) -> None:
    for action_id, slot, batch in orders:
        result = _well(peer, action_id)
        assert result.begin_ns < result.end_ns
        assert model.difference(batch, peer.outputs(slot, batch)) <= model.tolerance, (slot, batch)


def test_overlapped_infers_are_right_while_another_model_is_registered_and_loaded(
    peer: Peer, model: Subject, tmp_path: Path
) -> None:
    peer.register(1, model.artifact)
    assert peer.wait_registered(1) == ""
    _well(peer, peer.load(1, 0))
    peer.register(2, _other_weights(model, tmp_path))
    for _ in range(ROUNDS):
        _right(peer, model, _infer_all(peer, model, 1))
    assert peer.wait_registered(2) == ""
    loads = []
    for turn in range(ROUNDS):
        # In the arena's other places by turns, on a stream of their own.
        loads += [peer.load(2, 1 + turn % 2), peer.unload(2)]
        _right(peer, model, _infer_all(peer, model, 1))
    for action_id in loads:
        _well(peer, action_id)


def test_a_model_that_moves_computes_where_it_is(peer: Peer, model: Subject, tmp_path: Path) -> None:
    for model_id, artifact in ((1, model.artifact), (2, _other_weights(model, tmp_path))):
        peer.register(model_id, artifact)
        assert peer.wait_registered(model_id) == ""
    for turn in range(ROUNDS):
        # What was at its last place is overwritten by weights that give something else.
        _well(peer, peer.load(1, turn % 2))
        _well(peer, peer.load(2, 1 - turn % 2))
        _right(peer, model, _infer_all(peer, model, 1))
        for action_id, slot, batch in _infer_all(peer, model, 2):
            _well(peer, action_id)
            assert not model.difference(batch, peer.outputs(slot, batch)) <= model.tolerance
        for model_id in (1, 2):
            _well(peer, peer.unload(model_id))
    batch = next(iter(model.cases))
    assert peer.result(peer.infer(1, batch, 0)).status is Status.NOT_LOADED


def test_a_kernel_that_faults_fails_its_infer_and_ends_the_worker(
    peer: Peer, model: Subject, tmp_path: Path
) -> None:
    faulty = tmp_path / "faulty"
    shutil.copytree(model.artifact, faulty)
    code = kernel(kernels.FAULTY, kernels.faulty_source(model.manifest), model.artifact.parent)
    (faulty / "kernels.cubin").write_bytes(code)
    peer.register(1, faulty)
    assert peer.wait_registered(1) == ""
    _well(peer, peer.load(1, 0))
    batch, (inputs, _) = next(iter(model.cases.items()))
    peer.put(0, batch, inputs)
    result = peer.result(peer.infer(1, batch, 0))
    assert result.status is Status.DEVICE_ERROR
    assert result.message.startswith("CudaError: ")
    assert peer.ends()
