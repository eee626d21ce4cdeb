"""Products of matrices, batched or not.

    left    [..., M, K], any strides
    right   [N/v, K, v] packed at conversion, or any strides, and then packed here, a matrix at a time
    output  [..., M, N]

The rows of `left` are copied into blocks [K/v, M, v] where there is enough to do with them: rows whose
distance is a multiple of a cache way would evict each other. Then it is a pointwise convolution: a tile of
rows times some vectors of columns stays in registers over the whole reduction.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from converters.schedules.cpu.elements import Operand
from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink, splat
from converters.schedules.cpu.tiles import Run, best_tile, runs

# Column vectors from which on copying the left rows costs nothing to speak of.
WORTH_COPYING = 8


@dataclass(frozen=True)
class Product:
    """`rows`: extents of the loops over rows, the last of which is tiled. `packed`: right is a constant."""

    rows: tuple[int, ...]
    depth: int
    columns: int
    packed: bool


def copies_left(product: Product, lanes: int) -> bool:
    return product.rows[-1] > 1 and product.columns >= WORTH_COPYING * lanes


def scratch_sizes(product: Product, lanes: int) -> tuple[int, ...]:
    """Floats of working memory that `emit` wants, a buffer each."""
    sizes = []
    if copies_left(product, lanes):
        sizes.append(-(-product.depth // lanes) * product.rows[-1] * lanes)
    if not product.packed:
        sizes.append(-(-product.columns // lanes) * product.depth * lanes)
    return tuple(sizes)


def emit(
    kernel: Kernel, product: Product, left: Operand, right: Operand, scratch: Sequence[Buffer], sink: Sink
) -> None:
    """`left` has strides over (*rows, K), `right`, unless packed, over (*rows, K, N), 0 on the last row
    axis; the sink takes (*rows, N)."""
    spare = list(scratch)
    with ExitStack() as loops:
        outer = [loops.enter_context(kernel.loop(extent, name="b")) for extent in product.rows[:-1]]
        copied = spare.pop(0) if copies_left(product, kernel.lanes) else None
        if copied is not None:
            _copy_left(kernel, product, left, outer, copied)
        if not product.packed:
            _pack_right(kernel, product, right, outer, spare[0])
            right = Operand(spare[0], ())
        _Nest(kernel, product, outer, left, copied, right.buffer, sink).emit()


def _copy_left(kernel: Kernel, product: Product, left: Operand, outer: list[Expr], copied: Buffer) -> None:
    lanes, rows = kernel.lanes, product.rows[-1]
    for run in runs(product.depth, lanes):
        with kernel.loop(rows, name="m") as row, kernel.loop(run.count, name="k") as number:
            depth = run.begin + number * lanes
            value = left.load(kernel, (*outer, row, depth), lanes, run.size)
            place = ((run.begin // lanes + number) * rows + row) * lanes
            kernel.store(copied, (place,), value)


def _pack_right(kernel: Kernel, product: Product, right: Operand, outer: list[Expr], packed: Buffer) -> None:
    lanes = kernel.lanes
    for run in runs(product.columns, lanes):
        with kernel.loop(run.count, name="n") as number, kernel.loop(product.depth, name="k") as depth:
            column = run.begin + number * lanes
            value = right.load(kernel, (*outer, 0, depth, column), lanes, run.size)
            place = ((run.begin // lanes + number) * product.depth + depth) * lanes
            kernel.store(packed, (place,), value)


@dataclass(frozen=True)
class _Nest:
    kernel: Kernel
    product: Product
    outer: list[Expr]
    left: Operand
    copied: Buffer | None
    packed: Buffer
    sink: Sink

    def emit(self) -> None:
        kernel, product, lanes = self.kernel, self.product, self.kernel.lanes
        rows, vectors = best_tile(kernel.machine, product.rows[-1], -(-product.columns // lanes))
        whole, rest = divmod(product.columns, lanes)
        cuts: list[tuple[Run, int | None]] = [(run, None) for run in runs(whole, vectors)] if whole else []
        if rest:
            cuts.append((Run(0, 1, 1), rest))
        for cut, count in cuts:
            first = cut.begin if count is None else whole
            with kernel.loop(cut.count, name="n") as number:
                vector = first + number * cut.size
                for run in runs(product.rows[-1], rows):
                    with kernel.loop(run.count, name="m") as tile:
                        row = run.begin + tile * run.size
                        self._tile(row, run.size, [vector + j for j in range(cut.size)], count)

    def _tile(self, row: Expr, size: int, vectors: list[Expr], count: int | None) -> None:
        kernel, lanes, depth = self.kernel, self.kernel.lanes, self.product.depth
        sums = [[kernel.local(lanes) for _ in range(size)] for _ in vectors]
        for line in sums:
            for total in line:
                kernel.store(total, (0,), splat(0.0, lanes))
        for run in runs(depth, lanes):
            with kernel.loop(run.count, name="k") as block, kernel.loop(run.size, name="c") as c:
                k = run.begin + block * lanes + c
                weights = [kernel.bind(self._vector(vector, k)) for vector in vectors]
                for i in range(size):
                    value = kernel.bind(splat(self._element(row + i, run.begin // lanes + block, c), lanes))
                    for weight, line in zip(weights, sums, strict=True):
                        total = kernel.fma(value, weight, kernel.load(line[i], (0,), lanes))
                        kernel.store(line[i], (0,), total)
        for vector, line in zip(vectors, sums, strict=True):
            for i, total in enumerate(line):
                index = (*self.outer, row + i, vector * lanes)
                self.sink(kernel.load(total, (0,), lanes), index, count)

    def _vector(self, vector: Expr, k: Expr) -> Expr:
        lanes = self.kernel.lanes
        if len(self.packed.shape) == 1:
            return self.kernel.load(self.packed, ((vector * self.product.depth + k) * lanes,), lanes)
        return self.kernel.load(self.packed, (vector, k, 0), lanes)

    def _element(self, row: Expr, block: Expr, c: Expr) -> Expr:
        lanes = self.kernel.lanes
        if self.copied is not None:
            return self.kernel.load(self.copied, ((block * self.product.rows[-1] + row) * lanes + c,))
        return self.left.load(self.kernel, (*self.outer, row, block * lanes + c), 1)
