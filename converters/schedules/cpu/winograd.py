"""Convolution with 3x3 kernels by fewer multiplications, over blocked layouts.

    data    [C/v, N, H, W, v]
    weight  [points, K/v, C, v]: the kernels at every pair of points (see `cpu.toom`)
    bias    [K/v, v]
    output  [K/v, N, P, Q, v]

The output is cut into squares of `outputs` by `outputs` pixels. For some squares at a time, their input is
evaluated at all pairs of points, multiplied there with the weight, which is a product of matrices for each
pair, and interpolated.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from tvm import tirx

from converters.schedules.cpu.convolution import Operands
from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink, minimum, splat
from converters.schedules.cpu.products import emit_tiles
from converters.schedules.cpu.tiles import even_size
from converters.schedules.cpu.toom import Matrix, toom
from converters.schedules.cpu.window import Window
from converters.schedules.machine import Machine

TAPS = 3
FEWEST = 14
MOST = 56


@dataclass(frozen=True)
class Winograd:
    """`outputs`: how many pixels a square is wide and high."""

    batch: int
    channels: int
    out_blocks: int
    window: Window
    outputs: int

    @property
    def squares(self) -> tuple[int, int]:
        """How many lie below and beside each other in an image."""
        down, across = (-(-extent // self.outputs) for extent in self.window.output)
        return down, across

    @property
    def points(self) -> int:
        return (self.outputs + TAPS - 1) ** 2

    def at_a_time(self, machine: Machine) -> int:
        """Squares: as many as the second-level cache holds at all points."""
        blocks = machine.blocks(self.channels) + self.out_blocks
        fitting = machine.l2 // (self.points * blocks * machine.lanes * 4)
        down, across = self.squares
        return even_size(self.batch * down * across, min(max(fitting, FEWEST), MOST))

    def parts(self, machine: Machine) -> int:
        """How many times so many squares."""
        down, across = self.squares
        return -(-self.batch * down * across // self.at_a_time(machine))

    def has_parts_apart(self, machine: Machine) -> bool:
        """Whether threads have parts of their own, in memory of their own. Where there are too few, they
        share each part's loops."""
        return 1 < machine.threads <= self.parts(machine)

    def scratch_sizes(self, machine: Machine) -> tuple[int, int]:
        """Floats for the input and for the output at all points."""
        squares = self.at_a_time(machine)
        copies = machine.threads if self.has_parts_apart(machine) else 1
        inputs = _stride(machine.blocks(self.channels), squares, machine.lanes)
        outputs = _stride(self.out_blocks, squares, machine.lanes)
        return copies * self.points * inputs, copies * self.points * outputs


def _stride(blocks: int, squares: int, lanes: int) -> int:
    """Floats from one point to the next: a vector more than needed, or all points share a cache set."""
    return (blocks * squares + 1) * lanes


def emit(kernel: Kernel, conv: Winograd, operands: Operands, scratch: Sequence[Buffer], sink: Sink) -> None:
    apart = conv.has_parts_apart(kernel.machine)
    _Nest(kernel, conv, operands, scratch[0], scratch[1], sink, apart).emit()


@dataclass(frozen=True)
class _Nest:
    kernel: Kernel
    conv: Winograd
    operands: Operands
    evaluated: Buffer
    multiplied: Buffer
    sink: Sink
    apart: bool

    def emit(self) -> None:
        conv, kernel = self.conv, self.kernel
        down, across = conv.squares
        total = conv.batch * down * across
        some = conv.at_a_time(kernel.machine)
        parts = conv.parts(kernel.machine)
        with ExitStack() as loops:
            if self.apart:
                (part,) = loops.enter_context(kernel.nest((parts,), "t"))
            else:
                part = loops.enter_context(kernel.loop(parts, name="t"))
            # The last part may reach back into the one before it, and then computes some squares again.
            first = kernel.bind(minimum(part * some, total - some))
            with kernel.nest((some,), "t") as (number,):
                self._evaluate(number, *self._square(first + number))
            self._multiply(some)
            with kernel.nest((some,), "t") as (number,):
                self._interpolate(number, *self._square(first + number))

    def _square(self, number: Expr) -> tuple[Expr, Expr, Expr]:
        """Image, and where in it the square's output begins."""
        down, across = self.conv.squares
        outputs = self.conv.outputs
        return (
            number // (down * across),
            number // across % down * outputs,
            number % across * outputs,
        )

    def _at(self, buffer: Buffer, point: Expr, block: Expr, square: Expr) -> tuple[Expr]:
        some = self.conv.at_a_time(self.kernel.machine)
        blocks = self.kernel.machine.blocks(self.conv.channels)
        stride = _stride(
            blocks if buffer is self.evaluated else self.conv.out_blocks, some, self.kernel.lanes
        )
        begin = self.kernel.thread * (self.conv.points * stride) if self.apart else 0
        return (begin + point * stride + (block * some + square) * self.kernel.lanes,)

    def _evaluate(self, number: Expr, image: Expr, row: Expr, column: Expr) -> None:
        conv, kernel = self.conv, self.kernel
        window = conv.window
        size = conv.outputs + TAPS - 1
        top, left = row - window.pads[0], column - window.pads[1]
        with kernel.loop(kernel.machine.blocks(conv.channels), name="c") as block:
            pixels = [[kernel.local(kernel.lanes) for _ in range(size)] for _ in range(size)]
            inside = tirx.all(
                top >= 0, left >= 0, top + size <= window.input[0], left + size <= window.input[1]
            )

            def load(checked: bool) -> None:
                for i, line in enumerate(pixels):
                    for j, pixel in enumerate(line):
                        kernel.store(
                            pixel, (0,), self._pixel(block, image, top + i, left + j, checked=checked)
                        )

            with kernel.when(inside):
                load(checked=False)
            with kernel.otherwise():
                load(checked=True)
            matrix = toom(conv.outputs).evaluate
            lines = [[kernel.load(pixel, (0,), kernel.lanes) for pixel in line] for line in pixels]
            turned = [_evaluated(kernel, matrix, column_) for column_ in zip(*lines, strict=True)]
            for i, line in enumerate(zip(*turned, strict=True)):
                for j, value in enumerate(_evaluated(kernel, matrix, line)):
                    place = self._at(self.evaluated, i * size + j, block, number)
                    kernel.store(self.evaluated, place, value)

    def _pixel(self, block: Expr, image: Expr, row: Expr, column: Expr, *, checked: bool) -> Expr:
        """A vector of the image; zero outside."""
        kernel, (height, width) = self.kernel, self.conv.window.input
        value = kernel.load(self.operands.data, (block, image, row, column, 0), kernel.lanes)
        if not checked:
            return value
        inside = tirx.all(row >= 0, row < height, column >= 0, column < width)
        return tirx.if_then_else(inside, value, splat(0.0, kernel.lanes))

    def _multiply(self, some: int) -> None:
        conv, kernel, lanes = self.conv, self.kernel, self.kernel.lanes
        with kernel.nest((conv.points,), "x") as (point,):

            def element(square: Expr, block: Expr, c: Expr) -> Expr:
                (place,) = self._at(self.evaluated, point, block, square)
                return kernel.load(self.evaluated, (place + c,))

            def vector(block: Expr, channel: Expr) -> Expr:
                return kernel.load(self.operands.weight, (point, block, channel, 0), lanes)

            def take(value: Expr, square: Expr, block: Expr) -> None:
                kernel.store(self.multiplied, self._at(self.multiplied, point, block, square), value)

            emit_tiles(kernel, some, conv.out_blocks, conv.channels, element, vector, take)

    def _interpolate(self, number: Expr, image: Expr, row: Expr, column: Expr) -> None:
        conv, kernel, lanes = self.conv, self.kernel, self.kernel.lanes
        matrix = toom(conv.outputs).interpolate
        size = conv.outputs + TAPS - 1
        height, width = conv.window.output
        with kernel.loop(conv.out_blocks, name="k") as block:
            lines = [
                [
                    kernel.bind(
                        kernel.load(
                            self.multiplied, self._at(self.multiplied, i * size + j, block, number), lanes
                        )
                    )
                    for j in range(size)
                ]
                for i in range(size)
            ]
            bias = kernel.bind(kernel.load(self.operands.bias, (block, 0), lanes))
            turned = [_interpolated(kernel, matrix, column_) for column_ in zip(*lines, strict=True)]
            values = [_interpolated(kernel, matrix, line) for line in zip(*turned, strict=True)]
            whole = tirx.all(row + conv.outputs <= height, column + conv.outputs <= width)
            with kernel.when(whole):
                for i, line in enumerate(values):
                    for j, value in enumerate(line):
                        self.sink(value + bias, (block, image, row + i, column + j, 0))
            if height % conv.outputs or width % conv.outputs:
                with kernel.otherwise():
                    self._border(number, (block, image, row, column), values, bias)

    def _border(
        self, number: Expr, begin: tuple[Expr, ...], values: Sequence[Sequence[Expr]], bias: Expr
    ) -> None:
        """The pixels of a square that are in the image: they go through memory that is free by now."""
        kernel, lanes = self.kernel, self.kernel.lanes
        block, image, row, column = begin
        outputs = self.conv.outputs
        height, width = self.conv.window.output
        for i, line in enumerate(values):
            for j, value in enumerate(line):
                place = self._at(self.multiplied, i * outputs + j, block, number)
                kernel.store(self.multiplied, place, value + bias)
        with (
            kernel.loop(minimum(outputs, height - row), name="i") as i,
            kernel.loop(minimum(outputs, width - column), name="j") as j,
        ):
            place = self._at(self.multiplied, i * outputs + j, block, number)
            value = kernel.load(self.multiplied, place, lanes)
            self.sink(value, (block, image, row + i, column + j, 0))


def _evaluated(kernel: Kernel, matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
    """The matrix times the values. Rows of a point and its negative share their even and odd halves."""
    first, *pairs, last = matrix
    results = [_weighted(kernel, first, values)]
    for row in pairs[::2]:
        even, odd = (
            _weighted(kernel, [c if i % 2 == parity else 0.0 for i, c in enumerate(row)], values)
            for parity in (0, 1)
        )
        results += [kernel.bind(even + odd), kernel.bind(even - odd)]
    return [*results, _weighted(kernel, last, values)]


def _interpolated(kernel: Kernel, matrix: Matrix, values: Sequence[Expr]) -> list[Expr]:
    """The matrix times the values, of which a point's and its negative's are used by sum and difference."""
    pairs = list(zip(values[1:-1:2], values[2:-1:2], strict=True))
    sums = [kernel.bind(a + b) for a, b in pairs]
    differences = [kernel.bind(a - b) for a, b in pairs]
    results = []
    for power, row in enumerate(matrix):
        halves = differences if power % 2 else sums
        coefficients = [row[0], *row[1:-1:2], row[-1]]
        results.append(_weighted(kernel, coefficients, [values[0], *halves, values[-1]]))
    return results


def _weighted(kernel: Kernel, coefficients: Sequence[float], values: Sequence[Expr]) -> Expr:
    """The sum of values times coefficients, which are mostly 0 or 1."""
    total: Expr = None
    for coefficient, value in sorted(zip(coefficients, values, strict=True), key=lambda term: term[0] != 1):
        if coefficient == 0:
            continue
        factor = splat(coefficient, kernel.lanes)
        if total is None:
            total = value if coefficient == 1 else value * factor
        else:
            total = total + value if coefficient == 1 else kernel.fma(value, factor, total)
    return kernel.bind(total)
