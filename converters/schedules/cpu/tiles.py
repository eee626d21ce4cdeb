"""The cost model: which accumulator tile a product of a pixel (or row) panel and weight vectors gets."""

from __future__ import annotations

from dataclasses import dataclass

from converters.schedules.machine import Machine

# Cycles of a vector instruction on a core with two pipes for arithmetic and two for loads, what loop control
# adds to a step, and the latency of a fused multiply-add.
ISSUE = 0.5
CONTROL = 0.5
LATENCY = 4.0

# Beyond this a wider tile saves nothing and lengthens the code.
MAX_VECTORS = 8


@dataclass(frozen=True)
class Run:
    """`count` tiles of `size` in a row, from position `begin`."""

    begin: int
    size: int
    count: int


def runs(extent: int, size: int) -> tuple[Run, ...]:
    """Cuts `extent` into tiles of `size`, and a smaller one for what remains."""
    full, rest = divmod(extent, size)
    cut = [Run(0, size, full)] if full else []
    return (*cut, *([Run(full * size, rest, 1)] if rest else []))


def divisor(count: int, limit: int) -> int:
    """The largest divisor of `count` that is at most `limit`, or 1."""
    return max((size for size in range(1, min(limit, count) + 1) if count % size == 0), default=1)


def even_size(count: int, limit: int) -> int:
    """The size of pieces of at most `limit` that cut `count` most evenly."""
    pieces = -(-count // limit)
    return -(-count // pieces)


def cost(machine: Machine, rows: int, vectors: int) -> float:
    """Cycles of one reduction step of a tile: `rows` broadcast values times `vectors` weight vectors."""
    arithmetic = rows * vectors * (ISSUE if machine.fma else 2 * ISSUE)
    loads = (rows + vectors) * ISSUE
    return max(arithmetic, loads, LATENCY) + CONTROL


def fits(machine: Machine, rows: int, vectors: int) -> bool:
    """Whether accumulators, weight vectors and a broadcast value are registers, with one to spare."""
    return rows * vectors + vectors + 2 <= machine.registers


def best_tile(machine: Machine, rows: int, vectors: int) -> tuple[int, int]:
    """The tile (rows, vectors) that covers `rows` x `vectors` at the least cost; wide ones win ties.

    Where the machine asks for another one than the best, there may be fewer.
    """
    choices = []
    for tile_vectors in range(1, min(vectors, MAX_VECTORS) + 1):
        for tile_rows in range(1, rows + 1):
            if not fits(machine, tile_rows, tile_vectors):
                break
            total = sum(
                r.count * v.count * cost(machine, r.size, v.size)
                for r in runs(rows, tile_rows)
                for v in runs(vectors, tile_vectors)
            )
            choices.append((total, -tile_vectors * tile_rows, -tile_vectors, tile_rows))
    choices.sort()
    _, _, negative, tile_rows = choices[min(machine.tile, len(choices) - 1)]
    return tile_rows, -negative
