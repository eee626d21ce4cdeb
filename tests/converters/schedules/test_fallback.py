"""Operators and types that no template knows: TVM's kernels, in another order."""

from __future__ import annotations

from typing import Any

import numpy as np
import tvm
from tvm import tirx

from converters.schedules.cpu.fallback import schedule_the_rest
from tests.converters.schedules.harness import check, node, random, unscheduled_product


def test_a_convolution_whose_weight_is_computed() -> None:
    nodes = [
        node("Relu", ["w"], ["v"]),
        node("Conv", ["x", "v"], ["c"], pads=[1] * 4),
        node("Relu", ["c"], ["y"]),
    ]
    compiled = check(nodes, {"x": random(2, 5, 9, 7), "w": random(6, 5, 3, 3)})
    assert not any(name.startswith("convolution") for name in compiled.kernels)


def test_foreign_between_known() -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("CumSum", ["a", "one"], ["b"]),
        node("MatMul", ["b", "v"], ["y"]),
    ]
    weights = {"w": random(7, 9, seed=1), "v": random(9, 5, seed=2), "one": np.array(1)}
    check(nodes, {"x": random(4, 7)}, weights)


def test_sums_run_over_neighbours() -> None:
    """The last axis of a product's output is the innermost loop, and the depth is outside of it."""
    plain = unscheduled_product(5, 6, 7)
    assert loops(plain) == [5, 7, 6]
    assert loops(schedule_the_rest(plain)) == [5, 7, 6, 7]


def loops(module: tvm.IRModule) -> list[int]:
    """The extents of the loops of `matmul`, outermost first: of the initialisation, then of the sum."""
    extents = []

    def visit(statement: Any) -> None:
        if isinstance(statement, tirx.For):
            extents.append(int(statement.extent))
            visit(statement.body)
        elif isinstance(statement, tirx.SeqStmt):
            for part in statement.seq:
                visit(part)

    visit(module["matmul"].body.block.body)
    return extents
