"""Max and average pooling over blocked layouts.

Data and output: [C/v, N, *spatial, v].
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from typing import Literal

from tvm import tirx

from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink, splat
from converters.schedules.cpu.tiles import runs
from converters.schedules.cpu.window import Window

TILE = 8
LOWEST = -3.4028234663852886e38


@dataclass(frozen=True)
class Pooling:
    """An average counts the pixels inside, or all within `counted`, as in `network.ops.Pool`."""

    kind: Literal["max", "avg"]
    batch: int
    blocks: int
    window: Window
    counted: tuple[int, ...] | None = None


def emit(kernel: Kernel, pool: Pooling, data: Buffer, sink: Sink) -> None:
    window = pool.window
    size = min(TILE, window.output[-1])
    extents = (pool.blocks, pool.batch, *window.output[:-1])
    with kernel.nest(extents, "cn" + "p" * (len(extents) - 2)) as (block, image, *outer):
        for run, interior in window.classify(runs(window.output[-1], size)):
            with kernel.loop(run.count, name="q") as number:
                column = run.begin + number * run.size
                tile = _Tile(kernel, pool, data, (block, image), outer, column, run.size, interior)
                for i, value in enumerate(tile.values()):
                    sink(value, (block, image, *outer, column + i, 0))


@dataclass(frozen=True)
class _Tile:
    kernel: Kernel
    pool: Pooling
    data: Buffer
    place: tuple[Expr, Expr]
    outer: list[Expr]
    column: Expr
    size: int
    interior: bool

    def values(self) -> list[Expr]:
        kernel, window, lanes = self.kernel, self.pool.window, self.kernel.lanes
        start = splat(LOWEST if self.pool.kind == "max" else 0.0, lanes)
        totals = [kernel.local(lanes) for _ in range(self.size)]
        for total in totals:
            kernel.store(total, (0,), start)
        with ExitStack() as loops:
            rows = []
            for axis, position in enumerate(self.outer):
                first, end = window.taps(axis, position)
                tap = loops.enter_context(kernel.loop(end - first, begin=first, name="r"))
                rows.append(window.source(axis, position, tap))
            for s in range(window.kernel[-1]):
                for i, total in enumerate(totals):
                    if self.interior or window.inside(-1, self.column + i, s):
                        index = (*self.place, *rows, window.source(-1, self.column + i, s), 0)
                        self._add(total, kernel.load(self.data, index, lanes))
        results = [kernel.load(total, (0,), lanes) for total in totals]
        if self.pool.kind == "max":
            return results
        return [result * self._share(i) for i, result in enumerate(results)]

    def _add(self, total: Buffer, value: Expr) -> None:
        before = self.kernel.load(total, (0,), self.kernel.lanes)
        after = tirx.max(before, value) if self.pool.kind == "max" else before + value
        self.kernel.store(total, (0,), after)

    def _share(self, i: int) -> Expr:
        """One over the number of pixels that the window of pixel `i` of the tile counts."""
        window, lanes = self.pool.window, self.kernel.lanes
        if self._always_whole():
            return splat(1.0 / prod(window.kernel), lanes)
        count: Expr = 1
        for axis, position in enumerate([*self.outer, self.column + i]):
            count = count * self._counted(axis, position)
        count = tirx.Cast("float32", count) if not isinstance(count, int) else float(count)
        return splat(1.0 / count if isinstance(count, float) else tirx.const(1.0, "float32") / count, lanes)

    def _always_whole(self) -> bool:
        window = self.pool.window
        extents = zip(window.output, range(len(window.output)), strict=True)
        return all(
            self._counted(axis, p) == window.kernel[axis] for size, axis in extents for p in (0, size - 1)
        )

    def _counted(self, axis: int, position: Expr) -> Expr:
        window = self.pool.window
        if self.pool.counted is not None:
            # Padding counts: as if the image were that much larger.
            inside = (*window.input[:axis], self.pool.counted[axis], *window.input[axis + 1 :])
            pads = (*window.pads[:axis], 0, *window.pads[axis + 1 :])
            window = Window(inside, window.output, window.kernel, window.strides, window.dilations, pads)
        if isinstance(position, int):
            return sum(window.inside(axis, position, tap) for tap in range(window.kernel[axis]))
        first, end = window.taps(axis, position)
        return end - first
