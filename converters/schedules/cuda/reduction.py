"""A program with reductions over rows, and how a GPU's threads share its work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from converters.schedules.cpu.elements import Loops, collapse
from converters.schedules.cuda.code import Operand
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.sharing import Sharing, choose_splits, share_rows
from converters.schedules.network.program import Program


@dataclass(frozen=True)
class Reduction:
    """A program with reductions. The operands' strides are over the axes of `program.shape`."""

    gpu: Gpu
    program: Program
    operands: tuple[Operand, ...]
    results: tuple[Operand, ...]

    @cached_property
    def loops(self) -> Loops:
        reduced = [axis in self.program.axes for axis in range(len(self.program.shape))]
        every = [*self.operands, *self.results]
        return collapse(self.program.shape, reduced, [operand.strides for operand in every])

    def extents(self, *, reduced: bool) -> list[int]:
        return [n for n, r in zip(self.loops.extents, self.loops.reduced, strict=True) if r is reduced]

    @property
    def length(self) -> int:
        return prod(self.extents(reduced=True))

    @property
    def count(self) -> int:
        return prod(self.extents(reduced=False))

    @cached_property
    def levels(self) -> list[int]:
        """For how many reductions, one after the other, each value waits."""
        levels = [0] * len(self.program.inputs)
        for step in self.program.steps:
            level = max((levels[i] for i in step.arguments), default=0)
            levels.append(level + bool(step.axes))
        return levels

    @property
    def writes_rows(self) -> bool:
        """Whether there is a result that has whole rows."""
        reduced = self.program.is_reduced()
        return not all(reduced[value] for value in self.program.results)

    @cached_property
    def sharing(self) -> Sharing:
        plain = share_rows(self.loops)
        splits = choose_splits(self.gpu, plain, self.length, max(self.levels), whole=self.writes_rows)
        return replace(plain, splits=splits)

    @property
    def scratch(self) -> tuple[int, ...]:
        """Floats for what the parts of each row find, where rows are split."""
        reductions = sum(bool(step.axes) for step in self.program.steps)
        return () if self.sharing.splits == 1 else (reductions * self.sharing.splits * self.count,)
