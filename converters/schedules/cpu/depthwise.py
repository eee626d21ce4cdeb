"""Depthwise convolution over blocked layouts: every channel by itself, so lanes never meet.

    data    [C/v, N, *spatial, v]
    weight  [C/v, *kernel, v]
    bias    [C/v, v]
    output  [C/v, N, *spatial, v]

A tile of neighbouring output pixels stays in registers over all taps. Tiles that meet the left or right
border are written out apart; the rows outside the image are left out by loop bounds.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from converters.schedules.cpu.convolution import Operands
from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink
from converters.schedules.cpu.tiles import runs
from converters.schedules.cpu.window import Window

# Pixels of a tile: enough sums to hide the latency of a multiplication, few enough to be registers.
TILE = 8


@dataclass(frozen=True)
class Depthwise:
    batch: int
    blocks: int
    window: Window


def emit(kernel: Kernel, conv: Depthwise, operands: Operands, sink: Sink) -> None:
    """Writes the loops."""
    window = conv.window
    size = min(TILE, window.output[-1])
    extents = (conv.blocks, conv.batch, *window.output[:-1])
    with kernel.nest(extents, "cn" + "p" * (len(extents) - 2)) as (block, image, *outer):
        for run, interior in window.classify(runs(window.output[-1], size)):
            with kernel.loop(run.count, name="q") as number:
                column = run.begin + number * run.size
                _tile(kernel, window, operands, sink, (block, image, outer, column), run.size, interior)


def _tile(
    kernel: Kernel,
    window: Window,
    operands: Operands,
    sink: Sink,
    place: tuple[Expr, Expr, list[Expr], Expr],
    size: int,
    interior: bool,
) -> None:
    block, image, outer, column = place
    lanes = kernel.lanes
    start = kernel.bind(kernel.load(operands.bias, (block, 0), lanes))
    sums = [kernel.local(lanes) for _ in range(size)]
    for total in sums:
        kernel.store(total, (0,), start)
    with ExitStack() as loops:
        taps = []
        for axis, position in enumerate(outer):
            first, end = window.taps(axis, position)
            taps.append(loops.enter_context(kernel.loop(end - first, begin=first, name="r")))
        rows = [window.source(axis, position, taps[axis]) for axis, position in enumerate(outer)]
        _row(kernel, window, operands, (block, image, rows, taps), column, sums, interior)
    for i, total in enumerate(sums):
        index = (block, image, *outer, column + i, 0)
        sink(kernel.load(total, (0,), lanes), index)


def _row(
    kernel: Kernel,
    window: Window,
    operands: Operands,
    at: tuple[Expr, Expr, list[Expr], list[Expr]],
    column: Expr,
    sums: Sequence[Buffer],
    interior: bool,
) -> None:
    """The taps of one row, written out."""
    block, image, rows, taps = at
    lanes = kernel.lanes
    for s in range(window.kernel[-1]):
        inside = [i for i in range(len(sums)) if interior or window.inside(-1, column + i, s)]
        weight = kernel.bind(kernel.load(operands.weight, (block, *taps, s, 0), lanes)) if inside else None
        for i in inside:
            index = (block, image, *rows, window.source(-1, column + i, s), 0)
            value = kernel.fma(
                kernel.load(operands.data, index, lanes), weight, kernel.load(sums[i], (0,), lanes)
            )
            kernel.store(sums[i], (0,), value)
