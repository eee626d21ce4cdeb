"""The innermost part of every product: a tile of sums in registers, over the whole depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from converters.schedules.cpu.kernel import Expr, Kernel, splat
from converters.schedules.cpu.sums import Sums
from converters.schedules.cpu.tiles import best_tile, runs

Element = Callable[[Expr, Expr, Expr], Expr]
"""The scalar of a row, a block of the depth, and a position in the block."""
Vector = Callable[[Expr, Expr], Expr]
"""The vector of a number and a position in the depth."""
Take = Callable[[Expr, Expr, Expr], None]
"""Gets the sum of a row and a vector: sum, row, number of the vector."""


def emit_tiles(
    kernel: Kernel, rows: int, vectors: int, depth: int, element: Element, vector: Vector, take: Take
) -> None:
    """All sums of `rows` times `vectors`: the tile's vectors stay in cache while all rows pass."""
    if not rows or not vectors:
        return
    tile_rows, tile_vectors = best_tile(kernel.machine, rows, vectors)
    for cut in runs(vectors, tile_vectors):
        with kernel.nest((cut.count,), "n", well=rows > tile_rows) as (number,):
            columns = [cut.begin + number * cut.size + j for j in range(cut.size)]
            for run in runs(rows, tile_rows):
                with kernel.nest((run.count,), "m") as (tile,):
                    first = run.begin + tile * run.size
                    emit_tile(
                        kernel, [first + i for i in range(run.size)], columns, depth, element, vector, take
                    )


def emit_tile(
    kernel: Kernel,
    rows: Sequence[Expr],
    columns: Sequence[Expr],
    depth: int,
    element: Element,
    vector: Vector,
    take: Take,
) -> None:
    lanes = kernel.lanes
    sums = Sums.of(kernel, len(columns), len(rows), depth)
    for run in runs(depth, lanes):
        for cut in sums.pieces(run.count, run.size):
            with kernel.loop(cut.count, name="ko") as number, sums.piece():
                first = cut.begin + number * cut.size
                with kernel.loop(cut.size, name="k") as near, kernel.loop(run.size, name="c") as c:
                    block = first + near
                    position = run.begin + block * lanes + c
                    weights = [kernel.bind(vector(column, position)) for column in columns]
                    for i, row in enumerate(rows):
                        value = kernel.bind(splat(element(row, run.begin // lanes + block, c), lanes))
                        for j, weight in enumerate(weights):
                            sums.add(j, i, value, weight)
    for j, column in enumerate(columns):
        for i, row in enumerate(rows):
            take(sums.total(j, i), row, column)
