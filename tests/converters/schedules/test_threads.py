"""Threads share kernels out in fixed parts, and compute what one thread does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import pytest

from converters.schedules.cpu import lowering
from converters.schedules.machine import Machine
from tests.converters.schedules.harness import FLOAT, Compiled, best, imported, model, node, random

Case = tuple[list[onnx.NodeProto], Mapping[str, Any], Mapping[str, Any]]

CASES: Mapping[str, Case] = {
    "1x1": ([node("Conv", ["x", "w"], ["y"])], {"x": random(1, 64, 9, 9)}, {"w": random(48, 64, 1, 1)}),
    "rows": (
        [node("Conv", ["x", "w"], ["y"], strides=[2, 2], pads=[1, 1, 1, 1])],
        {"x": random(2, 32, 15, 15)},
        {"w": random(32, 32, 3, 3)},
    ),
    "squares": (
        [node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        {"x": random(1, 32, 13, 13)},
        {"w": random(32, 32, 3, 3)},
    ),
    "many squares": (
        [node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])],
        {"x": random(3, 32, 30, 30)},
        {"w": random(32, 32, 3, 3)},
    ),
    "depthwise": (
        [node("Conv", ["x", "w"], ["y"], group=48, pads=[1, 1, 1, 1])],
        {"x": random(1, 48, 9, 9)},
        {"w": random(48, 1, 3, 3)},
    ),
    "pooling": (
        [node("Conv", ["x", "w"], ["z"]), node("MaxPool", ["z"], ["y"], kernel_shape=[3, 3])],
        {"x": random(1, 32, 9, 9)},
        {"w": random(32, 32, 1, 1)},
    ),
    "columns": ([node("MatMul", ["x", "w"], ["y"])], {"x": random(1, 96)}, {"w": random(96, 1100)}),
    "copied rows": ([node("MatMul", ["x", "w"], ["y"])], {"x": random(4100, 96)}, {"w": random(96, 150)}),
    "few rows": ([node("MatMul", ["x", "w"], ["y"])], {"x": random(37, 96)}, {"w": random(96, 150)}),
    "matrices": (
        [node("MatMul", ["x", "z"], ["y"])],
        {"x": random(2, 3, 37, 20), "z": random(2, 3, 20, 150, seed=1)},
        {},
    ),
    "matrices of one row": (
        [node("MatMul", ["x", "z"], ["y"])],
        {"x": random(2, 3, 1, 20), "z": random(2, 3, 20, 150, seed=1)},
        {},
    ),
    "one matrix": (
        [node("MatMul", ["x", "z"], ["y"])],
        {"x": random(37, 20), "z": random(20, 150, seed=1)},
        {},
    ),
    "softmax": ([node("Softmax", ["x"], ["y"], axis=-1)], {"x": random(5, 77)}, {}),
    "columns' sums": ([node("Softmax", ["x"], ["y"], axis=0)], {"x": random(5, 77)}, {}),
    "elements": ([node("Exp", ["x"], ["y"])], {"x": random(5, 77)}, {}),
    "transposition": ([node("Transpose", ["x"], ["y"], perm=[1, 0])], {"x": random(45, 77)}, {}),
}


@pytest.fixture(autouse=True)
def _share_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "WORTH_SHARING", 0)


def _compiled(case: Case, threads: int) -> Compiled:
    nodes, inputs, weights = case
    types = {name: (FLOAT, x.shape) for name, x in inputs.items()}
    proto = model(nodes, types, {"y": (FLOAT, None)}, weights, opset=20)
    return Compiled.of(imported(proto), {**best(), "num-cores": threads})


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("threads", [2, 3])
def test_threads_compute_what_one_does(name: str, threads: int) -> None:
    inputs = CASES[name][1].values()
    alone, together = _compiled(CASES[name], 1), _compiled(CASES[name], threads)
    for one, several in zip(alone(*inputs), together(*inputs), strict=True):
        np.testing.assert_array_equal(one, several)
    assert "T.parallel" not in str(alone.module)
    assert "T.parallel" in str(together.module)


def test_small_kernels_are_not_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lowering, "WORTH_SHARING", 1 << 20)
    assert "T.parallel" not in str(_compiled(CASES["1x1"], 2).module)


def test_loops_are_shared_where_threads_are_busy() -> None:
    machine = Machine(lanes=16, registers=32, fma=True, threads=4)
    assert machine.balance(8) == 1
    assert machine.balance(5) == 5 / 8
    assert machine.divides_well(39)
    assert not machine.divides_well(5)
