"""Products of matrices, batched or not.

    left    [..., M, K], any strides
    right   [N/v, K, v] packed at conversion, or any strides, and then packed here, a matrix at a time
    output  [..., M, N]

Rows of `left` are copied into blocks [K/v, rows, v], as many as fit half the second-level cache, where there
is enough to do with them: rows whose distance is a multiple of a cache way would evict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from converters.schedules.cpu.elements import Operand
from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink
from converters.schedules.cpu.movement import emit_view
from converters.schedules.cpu.products import emit_tiles
from converters.schedules.cpu.tiles import even_size, runs
from converters.schedules.machine import Machine

# Column vectors from which on copying the left rows costs nothing to speak of.
WORTH_COPYING = 8


@dataclass(frozen=True)
class Product:
    """`rows`: extents of the loops over rows, the last of which is tiled. `packed`: right is a constant."""

    rows: tuple[int, ...]
    depth: int
    columns: int
    packed: bool

    def copied_rows(self, machine: Machine) -> int:
        """How many rows of `left` are copied at a time; 0 if none."""
        if self.rows[-1] == 1 or self.columns < WORTH_COPYING * machine.lanes:
            return 0
        fitting = machine.l2 // 2 // (4 * self.depth)
        return even_size(self.rows[-1], max(fitting, machine.registers))


def scratch_sizes(product: Product, machine: Machine) -> tuple[int, ...]:
    """Floats of working memory that `emit` wants, a buffer each."""
    sizes = []
    if copied := product.copied_rows(machine):
        sizes.append(machine.blocks(product.depth) * copied * machine.lanes)
    if not product.packed:
        sizes.append(machine.blocks(product.columns) * product.depth * machine.lanes)
    return tuple(sizes)


def emit(
    kernel: Kernel, product: Product, left: Operand, right: Operand, scratch: Sequence[Buffer], sink: Sink
) -> None:
    """`left` has strides over (*rows, K), `right`, unless packed, over (*rows, K, N), 0 on the last row
    axis; the sink takes (*rows, N)."""
    spare = list(scratch)
    copied_rows = product.copied_rows(kernel.machine)
    with ExitStack() as loops:
        outer = [loops.enter_context(kernel.loop(extent, name="b")) for extent in product.rows[:-1]]
        copied = spare.pop(0) if copied_rows else None
        packed = right.buffer
        if not product.packed:
            packed = spare.pop(0)
            _pack_right(kernel, product, right, outer, packed)
        for run in runs(product.rows[-1], copied_rows or product.rows[-1]):
            with kernel.loop(run.count, name="mo") as number:
                begin = run.begin + number * run.size
                if copied is not None:
                    _copy_left(kernel, product, left, (outer, begin, run.size), copied)
                _Rows(kernel, product, outer, begin, run.size, left, copied, packed, sink).emit()


def _copy_left(
    kernel: Kernel, product: Product, left: Operand, where: tuple[list[Expr], Expr, int], copied: Buffer
) -> None:
    outer, begin, rows = where
    lanes = kernel.lanes
    for run in runs(product.depth, lanes):
        with kernel.loop(rows, name="m") as row, kernel.loop(run.count, name="k") as number:
            depth = run.begin + number * lanes
            value = left.load(kernel, (*outer, begin + row, depth), lanes, run.size)
            place = ((run.begin // lanes + number) * rows + row) * lanes
            kernel.store(copied, (place,), value)


def _pack_right(kernel: Kernel, product: Product, right: Operand, outer: list[Expr], packed: Buffer) -> None:
    """As [N/v, K, v]. A matrix that is stored by columns is turned in registers on the way."""
    lanes = kernel.lanes
    begin = right.begin
    for position, stride in zip(outer, right.strides[: len(outer)], strict=True):
        begin = begin + position * stride
    down, across = right.strides[-2:]
    for run in runs(product.columns, lanes):
        shape = (run.count, product.depth, run.size)
        first = run.begin * across
        source = Operand(right.buffer, (lanes * across, down, across), begin + first)
        target = Operand(packed, (product.depth * lanes, lanes, 1), run.begin * product.depth)
        emit_view(kernel, shape, source, _Into(kernel, target))


@dataclass(frozen=True)
class _Into:
    """A sink that only stores."""

    kernel: Kernel
    target: Operand

    def __call__(self, value: Expr, index: Sequence[Expr], count: int | None = None) -> None:
        self.target.store(self.kernel, index, value, count)

    def prefetch(self, index: Sequence[Expr]) -> None:
        pass


@dataclass(frozen=True)
class _Rows:
    """The product of `size` rows from `begin` on."""

    kernel: Kernel
    product: Product
    outer: list[Expr]
    begin: Expr
    size: int
    left: Operand
    copied: Buffer | None
    packed: Buffer
    sink: Sink

    def emit(self) -> None:
        """Whole vectors of columns, and the one that is not."""
        kernel, depth = self.kernel, self.product.depth
        whole, rest = divmod(self.product.columns, kernel.lanes)
        for first, vectors, count in ((0, whole, None), (whole, 1 if rest else 0, rest)):

            def vector(number: Expr, k: Expr, first: int = first) -> Expr:
                return self._vector(first + number, k)

            def take(
                value: Expr, row: Expr, number: Expr, first: int = first, count: int | None = count
            ) -> None:
                index = (*self.outer, self.begin + row, (first + number) * kernel.lanes)
                self.sink(value, index, count)

            emit_tiles(kernel, self.size, vectors, depth, self._element, vector, take)

    def _vector(self, number: Expr, k: Expr) -> Expr:
        lanes = self.kernel.lanes
        if len(self.packed.shape) == 1:
            return self.kernel.load(self.packed, ((number * self.product.depth + k) * lanes,), lanes)
        return self.kernel.load(self.packed, (number, k, 0), lanes)

    def _element(self, row: Expr, block: Expr, c: Expr) -> Expr:
        lanes = self.kernel.lanes
        if self.copied is not None:
            return self.kernel.load(self.copied, ((block * self.size + row) * lanes + c,))
        return self.left.load(self.kernel, (*self.outer, self.begin + row, block * lanes + c), 1)
