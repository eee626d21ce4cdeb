"""The innermost part of every product: a tile of sums in registers, over the whole depth."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, splat
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
        with kernel.loop(cut.count, name="n") as number:
            columns = [cut.begin + number * cut.size + j for j in range(cut.size)]
            for run in runs(rows, tile_rows):
                with kernel.loop(run.count, name="m") as tile:
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
    sums: list[list[Buffer]] = [[kernel.local(lanes) for _ in rows] for _ in columns]
    for line in sums:
        for total in line:
            kernel.store(total, (0,), splat(0.0, lanes))
    for run in runs(depth, lanes):
        with kernel.loop(run.count, name="k") as block, kernel.loop(run.size, name="c") as c:
            begin = run.begin + block * lanes
            weights = [kernel.bind(vector(column, begin + c)) for column in columns]
            for i, row in enumerate(rows):
                value = kernel.bind(splat(element(row, run.begin // lanes + block, c), lanes))
                for weight, line in zip(weights, sums, strict=True):
                    total = kernel.fma(value, weight, kernel.load(line[i], (0,), lanes))
                    kernel.store(line[i], (0,), total)
    for column, line in zip(columns, sums, strict=True):
        for row, total in zip(rows, line, strict=True):
            take(kernel.load(total, (0,), lanes), row, column)
