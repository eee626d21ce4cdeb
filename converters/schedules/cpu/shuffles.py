"""Elements change places inside registers."""

from __future__ import annotations

from collections.abc import Sequence

from tvm import tirx

from converters.schedules.cpu.kernel import Expr, Kernel, lanes_of


def shuffle(vectors: Sequence[Expr], order: Sequence[int]) -> Expr:
    """The lanes of the vectors, numbered one after the other, in `order`."""
    return tirx.Shuffle(list(vectors), [tirx.IntImm("int32", lane) for lane in order])


def transposed(kernel: Kernel, rows: Sequence[Expr]) -> list[Expr]:
    """As many vectors as they have lanes: lane j of vector i becomes lane i of vector j.

    Blocks off the diagonal are exchanged, of 1 lane first, then of 2, and so on.
    """
    vectors = list(rows)
    lanes = len(vectors)
    assert all(lanes_of(vector) == lanes for vector in vectors)
    size = 1
    while size < lanes:
        upper = [j if not j & size else lanes + (j ^ size) for j in range(lanes)]
        lower = [j ^ size if not j & size else lanes + j for j in range(lanes)]
        for i in range(lanes):
            if not i & size:
                pair = vectors[i], vectors[i + size]
                vectors[i] = kernel.bind(shuffle(pair, upper))
                vectors[i + size] = kernel.bind(shuffle(pair, lower))
        size *= 2
    return vectors


def gathered(kernel: Kernel, sources: Sequence[tuple[Expr, Sequence[int]]], lanes: int) -> Expr:
    """A vector of lanes of several: each source comes with the lane of it wanted in every place, or -1."""
    result: Expr = None
    filled: list[int] = [-1] * lanes
    for vector, wanted in sources:
        if result is None:
            result = shuffle([vector], [max(lane, 0) for lane in wanted])
        else:
            order = [lanes + lane if lane >= 0 else place for place, lane in enumerate(wanted)]
            result = shuffle([result, vector], order)
        result = kernel.bind(result)
        filled = [max(a, b) for a, b in zip(filled, wanted, strict=True)]
    assert min(filled) >= 0
    return result
