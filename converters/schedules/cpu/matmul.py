"""Products of matrices, batched or not.

    left    [..., M, K], any strides
    right   [N/v, K, v] packed at conversion, or any strides, and then packed here, a matrix at a time
    output  [..., M, N]

Rows of `left` are copied into blocks [K/v, rows, v], as many as fit half the second-level cache, where there
is enough to do with them: rows whose distance is a multiple of a cache way would evict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
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

    def shares_matrices(self, machine: Machine) -> bool:
        """Whether threads have matrices of their own."""
        return machine.threads > 1 and max(self.rows[:-1], default=1) > 1

    def shares_copies(self, machine: Machine) -> bool:
        """Whether threads have copied rows of their own, be they of one matrix or of several."""
        copied = self.copied_rows(machine)
        return self.shares_matrices(machine) or bool(copied and machine.divides_well(self.rows[-1] // copied))

    def copied_size(self, machine: Machine) -> int:
        """Floats of the rows copied at a time."""
        return machine.blocks(self.depth) * self.copied_rows(machine) * machine.lanes

    def packed_size(self, machine: Machine) -> int:
        """Floats of a right matrix packed here."""
        return 0 if self.packed else machine.blocks(self.columns) * self.depth * machine.lanes


def scratch_sizes(product: Product, machine: Machine) -> tuple[int, ...]:
    """Floats of working memory that `emit` wants, a buffer each."""
    sizes = [
        product.copied_size(machine) * (machine.threads if product.shares_copies(machine) else 1),
        product.packed_size(machine) * (machine.threads if product.shares_matrices(machine) else 1),
    ]
    return tuple(size for size in sizes if size)


def emit(
    kernel: Kernel, product: Product, left: Operand, right: Operand, scratch: Sequence[Buffer], sink: Sink
) -> None:
    """`left` has strides over (*rows, K), `right`, unless packed, over (*rows, K, N), 0 on the last row
    axis; the sink takes (*rows, N)."""
    spare = list(scratch)
    machine = kernel.machine
    copied_rows = product.copied_rows(machine)
    copied_buffer = spare.pop(0) if copied_rows else None
    packed_buffer = right.buffer if product.packed else spare.pop(0)
    apart = product.shares_matrices(machine)
    with kernel.nest(product.rows[:-1], "b" * len(product.rows[:-1])) as outer:
        packed = Operand(packed_buffer, (), kernel.thread * product.packed_size(machine) if apart else 0)
        if not product.packed:
            _pack_right(kernel, product, right, outer, packed)
        for run in runs(product.rows[-1], copied_rows or product.rows[-1]):
            with kernel.nest((run.count,), "m", well=True) as (number,):
                begin = run.begin + number * run.size
                copied = None
                if copied_buffer is not None:
                    own = kernel.thread * product.copied_size(machine) if kernel.is_shared else 0
                    copied = Operand(copied_buffer, (), own)
                    _copy_left(kernel, product, left, (outer, begin, run.size), copied)
                _Rows(kernel, product, outer, begin, run.size, left, copied, packed, sink).emit()


def _copy_left(
    kernel: Kernel, product: Product, left: Operand, where: tuple[list[Expr], Expr, int], copied: Operand
) -> None:
    outer, begin, rows = where
    lanes = kernel.lanes
    for run in runs(product.depth, lanes):
        with kernel.nest((rows, run.count), "mk") as (row, number):
            depth = run.begin + number * lanes
            value = left.load(kernel, (*outer, begin + row, depth), lanes, run.size)
            place = copied.begin + ((run.begin // lanes + number) * rows + row) * lanes
            kernel.store(copied.buffer, (place,), value)


def _pack_right(kernel: Kernel, product: Product, right: Operand, outer: list[Expr], packed: Operand) -> None:
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
        place = packed.begin + run.begin * product.depth
        target = Operand(packed.buffer, (product.depth * lanes, lanes, 1), place)
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
    copied: Operand | None
    """Without strides: where the copied rows are. Likewise `packed`."""
    packed: Operand
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
        if self.product.packed:
            return self.kernel.load(self.packed.buffer, (number, k, 0), lanes)
        place = self.packed.begin + (number * self.product.depth + k) * lanes
        return self.kernel.load(self.packed.buffer, (place,), lanes)

    def _element(self, row: Expr, block: Expr, c: Expr) -> Expr:
        lanes = self.kernel.lanes
        if self.copied is not None:
            place = self.copied.begin + (block * self.size + row) * lanes + c
            return self.kernel.load(self.copied.buffer, (place,))
        return self.left.load(self.kernel, (*self.outer, self.begin + row, block * lanes + c), 1)
