"""Tiles are chosen by time, once, and change no result beyond rounding."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import tvm

from converters import schedules
from converters.schedules.cpu.tiles import best_tile
from converters.schedules.cpu.tuning import Tuner, least_times
from converters.schedules.machine import Machine
from converters.schedules.network.writer import Lowered
from tests.converters.schedules.harness import FLOAT, Compiled, best, imported, model, node, random

INPUT = random(2, 32, 14, 14)
WEIGHTS = {"w": random(64, 32, 1, 1), "v": random(64, 20, seed=1)}
NODES = [
    node("Conv", ["x", "w"], ["c"]),
    node("Relu", ["c"], ["r"]),
    node("GlobalAveragePool", ["r"], ["p"]),
    node("Flatten", ["p"], ["f"]),
    node("MatMul", ["f", "v"], ["y"]),
]


class Clock:
    """Says how long kernels take: the first 1, each further one `factor` times the one before."""

    def __init__(self, factor: float) -> None:
        self.asked = 0
        self._factor = factor

    def __call__(self, kernels: Sequence[Lowered]) -> list[float]:
        self.asked += 1
        return [self._factor**number for number in range(len(kernels))]


def tuned(choices: Path | None, clock: Clock) -> Compiled:
    target = tvm.target.Target(dict(best()))
    tuner = Tuner(target, choices, clock)
    proto = model(NODES, {"x": (FLOAT, INPUT.shape)}, {"y": (FLOAT, None)}, WEIGHTS, opset=20)
    with target:
        module = schedules.pipeline(target, lower=tuner.lower)(imported(proto))
    tuner.save()
    return Compiled(module, target)


def test_the_fastest_tile_is_taken() -> None:
    plain, other = tuned(None, Clock(1.5)), tuned(None, Clock(0.5))
    assert str(plain.module) != str(other.module)
    for one, two in zip(plain(INPUT), other(INPUT), strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-6 * np.abs(one).max())


def test_a_little_faster_is_not_enough() -> None:
    assert str(tuned(None, Clock(1.5)).module) == str(tuned(None, Clock(0.995)).module)


def test_choices_are_kept(tmp_path: Path) -> None:
    first, second = Clock(0.5), Clock(1.5)
    made = tuned(tmp_path / "choices.json", first)
    again = tuned(tmp_path / "choices.json", second)
    assert first.asked > 0
    assert second.asked == 0
    assert str(made.module) == str(again.module)


@pytest.mark.parametrize("rows", [1, 14, 196])
def test_tiles_come_from_the_best_on(rows: int) -> None:
    machines = [Machine(lanes=16, registers=32, fma=True, tile=number) for number in range(4)]
    tiles = [best_tile(machine, rows, 8) for machine in machines]
    assert len(set(tiles)) == 4
    assert tiles[0] == best_tile(Machine(lanes=16, registers=32, fma=True), rows, 8)


def test_kernels_are_timed() -> None:
    target = tvm.target.Target(dict(best()))
    seen: list[list[float]] = []

    def measure(kernels: Sequence[Lowered]) -> Sequence[float]:
        seen.append(least_times(kernels, target))
        return seen[-1]

    proto = model(NODES, {"x": (FLOAT, INPUT.shape)}, {"y": (FLOAT, None)}, WEIGHTS, opset=20)
    with target:
        schedules.pipeline(target, lower=Tuner(target, None, measure).lower)(imported(proto))
    assert seen
    assert all(0 < seconds < 10 for times in seen for seconds in times)
