"""Loops over the elements of a program: which axes become one, and where an operand's element lies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, lanes_of, splat
from converters.schedules.cpu.shuffles import shuffle

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Operand:
    """A buffer, and by how many elements each loop moves in it; 0 on the axes where it is broadcast."""

    buffer: Buffer
    strides: tuple[int, ...]
    begin: Expr = 0

    def load(self, kernel: Kernel, index: Sequence[Expr], lanes: int, count: int | None = None) -> Expr:
        """The element at `index`, or a vector of those from there on along the last axis."""
        place = self._place(index)
        if lanes == 1:
            return kernel.load(self.buffer, place)
        if self.strides[-1] == 0:
            return splat(kernel.load(self.buffer, place), lanes)
        return kernel.load(self.buffer, place, lanes, count, self.strides[-1])

    def store(self, kernel: Kernel, index: Sequence[Expr], value: Expr, count: int | None = None) -> None:
        lanes = lanes_of(value)
        if lanes == 1 or self.strides[-1] == 1:
            kernel.store(self.buffer, self._place(index), value, count)
            return
        value = kernel.bind(value)
        for lane in range(lanes if count is None else count):
            place = self._place((*index[:-1], index[-1] + lane))
            kernel.store(self.buffer, place, shuffle([value], [lane]))

    def prefetch(self, kernel: Kernel, index: Sequence[Expr]) -> None:
        kernel.prefetch(self.buffer, self._place(index))

    def _place(self, index: Sequence[Expr]) -> tuple[Expr, ...]:
        """As an index into the buffer: zeros, and the distance from its first element."""
        rank = len(self.buffer.shape)
        offset = self.begin
        for position, stride in zip(index, self.strides, strict=True):
            if stride:
                offset = offset + position * stride
        return (*[0] * (rank - 1), offset) if rank else ()


def strides_of(shape: Shape, whole: Shape) -> tuple[int, ...]:
    """Of a contiguous tensor that is broadcast to `whole`."""
    assert len(shape) == len(whole)
    return tuple(0 if n == 1 else prod(shape[axis + 1 :]) for axis, n in enumerate(shape))


@dataclass(frozen=True)
class Loops:
    """Extents, and for each operand its strides; `reduced`: whether a loop runs over reduced elements."""

    extents: Shape
    reduced: tuple[bool, ...]
    strides: tuple[tuple[int, ...], ...]


def collapse(shape: Shape, reduced: Sequence[bool], strides: Sequence[tuple[int, ...]]) -> Loops:
    """Neighbouring axes that every operand walks through as one become one; those of extent 1 go."""
    axes: list[tuple[int, bool, list[int]]] = []
    for axis, extent in enumerate(shape):
        steps = [operand[axis] for operand in strides]
        if extent == 1:
            continue
        if axes and axes[-1][1] == reduced[axis]:
            before, _, outer = axes[-1]
            if all(far == near * extent for far, near in zip(outer, steps, strict=True)):
                axes[-1] = (before * extent, reduced[axis], steps)
                continue
        axes.append((extent, reduced[axis], steps))
    if not axes:
        axes.append((1, False, [0] * len(strides)))
    extents, flags, steps_of = zip(*axes, strict=True)
    columns = tuple(tuple(steps[i] for steps in steps_of) for i in range(len(strides)))
    return Loops(tuple(extents), tuple(flags), columns)
