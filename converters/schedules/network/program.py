"""Several pointwise operations and reductions as one straight line of code."""

from __future__ import annotations

from dataclasses import dataclass

from converters.schedules.network.graph import Shape


@dataclass(frozen=True)
class Step:
    """One operation on earlier values, known by their number. `axes`: it is a reduction over these."""

    name: str
    arguments: tuple[int, ...]
    parameters: tuple[float, ...] = ()
    axes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Program:
    """Values are numbered: first the inputs, then what each step computes.

    `shape` is that of the values that are neither broadcast nor reduced; `inputs` are the inputs' shapes, of
    the same rank, where extents of 1 are broadcast.
    """

    shape: Shape
    inputs: tuple[Shape, ...]
    steps: tuple[Step, ...]
    results: tuple[int, ...]

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes of its reductions, which all have the same."""
        return next((step.axes for step in self.steps if step.axes), ())

    def is_reduced(self) -> list[bool]:
        """For every value, whether it has extent 1 on the reduced axes."""
        axes = self.axes
        reduced = [all(shape[axis] == 1 for axis in axes) and bool(axes) for shape in self.inputs]
        for step in self.steps:
            reduced.append(bool(step.axes) or (bool(axes) and all(reduced[i] for i in step.arguments)))
        return reduced


@dataclass(frozen=True)
class Fused:
    """A kernel: `anchor` computes a tensor of `anchored` inputs, the first ones, which is the program's
    first input; the further inputs follow. Without an anchor all inputs are the program's."""

    anchor: object
    anchored: int
    program: Program
