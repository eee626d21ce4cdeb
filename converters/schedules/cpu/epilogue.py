"""What a kernel does with each result while it is in a register: a program, and the stores."""

from __future__ import annotations

from collections.abc import Sequence

from converters.schedules.cpu.elements import Operand
from converters.schedules.cpu.kernel import Expr, Kernel, lanes_of, splat
from converters.schedules.cpu.pointwise import FUNCTIONS
from converters.schedules.network.program import Program


class Epilogue:
    """A sink. The program's first input is the value given; the operands are its further ones."""

    def __init__(
        self, kernel: Kernel, program: Program, inputs: Sequence[Operand], outputs: Sequence[Operand]
    ) -> None:
        assert len(inputs) + 1 == len(program.inputs)
        assert not program.axes
        self._kernel = kernel
        self._program = program
        self._inputs = inputs
        self._outputs = outputs

    def __call__(self, value: Expr, index: Sequence[Expr], count: int | None = None) -> None:
        kernel, lanes = self._kernel, lanes_of(value)
        values = [kernel.bind(value)]
        values += [kernel.bind(operand.load(kernel, index, lanes, count)) for operand in self._inputs]
        for step in self._program.steps:
            if step.name == "constant":
                values.append(splat(step.parameters[0], lanes))
            else:
                arguments = [values[i] for i in step.arguments]
                values.append(kernel.bind(FUNCTIONS[step.name](kernel, *arguments, *step.parameters)))
        for result, output in zip(self._program.results, self._outputs, strict=True):
            output.store(kernel, index, values[result], count)

    def prefetch(self, index: Sequence[Expr]) -> None:
        """Operands that are as large as the output are read once, so no cache has them."""
        for operand in self._inputs:
            if all(operand.strides):
                operand.prefetch(self._kernel, index)
