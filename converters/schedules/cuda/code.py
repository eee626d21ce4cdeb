"""Pieces of CUDA C: names, indices, literals, and the steps of a program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import prod

import numpy as np

from converters.schedules.cuda.conversions import RESULTS
from converters.schedules.network.program import Program

TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "unsigned short",
    "bfloat16": "unsigned short",
    "bool": "bool",
    "int8": "signed char",
    "uint8": "unsigned char",
    "int16": "short",
    "uint16": "unsigned short",
    "int32": "int",
    "uint32": "unsigned",
    "int64": "long long",
    "uint64": "unsigned long long",
}
"""Of elements that are moved; only floats are computed with."""


@dataclass
class Code:
    """Lines of a function's body."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        self.lines.append(line)

    def text(self, indent: str = "  ") -> str:
        return "\n".join(indent + line for line in self.lines)


def literal(value: float) -> str:
    """A float constant. What is no number is one of C's macros."""
    number = np.float32(value)
    if np.isnan(number):
        return "NAN"
    if np.isinf(number):
        return "INFINITY" if number > 0 else "(-INFINITY)"
    return f"({float(number)!r}f)"


def coordinates(index: str, extents: Sequence[int]) -> list[str]:
    """The position on each axis of element number `index` of a contiguous box."""
    found = []
    for axis, extent in enumerate(extents):
        inner = prod(extents[axis + 1 :])
        text = index if inner == 1 else f"{index} / {inner}"
        if extent == 1:
            text = "0"
        elif axis > 0 and any(n > 1 for n in extents[:axis]):
            text = f"{text} % {extent}"
        found.append(f"({text})" if " " in text else text)
    return found


def offset(position: Sequence[str], strides: Sequence[int], begin: int = 0) -> str:
    """Where the element at `position` lies."""
    terms = [str(begin)] if begin else []
    for at, stride in zip(position, strides, strict=True):
        if stride and at != "0":
            terms.append(at if stride == 1 else f"{at} * {stride}")
    return " + ".join(terms) or "0"


Expression = Callable[..., str]

FUNCTIONS: dict[str, Expression] = {
    "identity": lambda x: x,
    "add": lambda x, y: f"{x} + {y}",
    "subtract": lambda x, y: f"{x} - {y}",
    "multiply": lambda x, y: f"{x} * {y}",
    "divide": lambda x, y: f"{x} / {y}",
    "power": lambda x, y: f"powf({x}, {y})",
    "maximum": lambda x, y: f"larger({x}, {y})",
    "minimum": lambda x, y: f"smaller({x}, {y})",
    "relu": lambda x: f"larger({x}, 0.0f)",
    "clip": lambda x, low, high: f"smaller(larger({x}, {low}), {high})",
    "leaky": lambda x, slope: f"{x} > 0.0f ? {x} : {x} * {slope}",
    "prelu": lambda x, slope: f"{x} > 0.0f ? {x} : {x} * {slope}",
    "negative": lambda x: f"-{x}",
    "abs": lambda x: f"fabsf({x})",
    "exp": lambda x: f"expf({x})",
    "log": lambda x: f"logf({x})",
    "sqrt": lambda x: f"sqrtf({x})",
    "rsqrt": lambda x: f"rsqrtf({x})",
    "square": lambda x: f"{x} * {x}",
    "floor": lambda x: f"floorf({x})",
    "ceil": lambda x: f"ceilf({x})",
    "erf": lambda x: f"erff({x})",
    "tanh": lambda x: f"tanhf({x})",
    "sigmoid": lambda x: f"sigmoid({x})",
    "silu": lambda x: f"{x} * sigmoid({x})",
    "gelu": lambda x: f"{x} * 0.5f * (1.0f + erff({x} * 0.70710678f))",
    "gelu_tanh": lambda x: f"{x} * 0.5f * (1.0f + tanhf(0.79788456f * ({x} + 0.044715f * {x} * {x} * {x})))",
    "hardsigmoid": lambda x: f"smaller(larger({x} + 3.0f, 0.0f), 6.0f) * {literal(1 / 6)}",
    "hardswish": lambda x: f"{x} * smaller(larger({x} + 3.0f, 0.0f), 6.0f) * {literal(1 / 6)}",
}
"""The functions of `network.arithmetic`, by the same names."""


@dataclass(frozen=True)
class Operand:
    """A tensor in a kernel: its parameter, its type, and by how many elements each axis moves in it."""

    name: str
    dtype: str
    strides: tuple[int, ...]
    begin: int = 0

    def aligned(self, width: int) -> bool:
        """Whether `width` neighbours on the last axis, from a multiple of `width` on, are one access."""
        outer = all(stride % width == 0 for stride in (*self.strides[:-1], self.begin))
        return width > 1 and self.strides[-1] == 1 and outer

    def read(self, code: Code, to: str, position: Sequence[str], width: int) -> None:
        """Declares the array `to` with the elements from `position` on."""
        at = f"{self.name} + {offset(position, self.strides, self.begin)}"
        code.add(f"{TYPES[self.dtype]} {to}[{width}];")
        if self.aligned(width):
            code.add(f"load({to}, {at});")
        else:
            code.add(f"load_apart({to}, {at}, {self.strides[-1]});")

    def write(self, code: Code, value: str, position: Sequence[str], width: int) -> None:
        at = f"{self.name} + {offset(position, self.strides, self.begin)}"
        if self.aligned(width):
            code.add(f"store({at}, {value});")
        else:
            code.add(f"store_apart({at}, {self.strides[-1]}, {value});")


def compute(code: Code, program: Program, number: int, width: int, prefix: str = "v") -> None:
    """Declares the value that a pointwise step makes of values that are there."""
    step = program.steps[number - len(program.inputs)]
    if step.name == "identity":  # the one step that other types than floats know
        code.add(f"auto& {prefix}{number} = {prefix}{step.arguments[0]};")
        return
    parameters = [literal(value) for value in step.parameters]
    if step.name == "constant":
        expression = parameters[0]
    else:
        arguments = [f"{prefix}{argument}[e]" for argument in step.arguments]
        converts = step.name in RESULTS
        expression = (
            f"{step.name}({arguments[0]})" if converts else FUNCTIONS[step.name](*arguments, *parameters)
        )
    code.add(f"{RESULTS.get(step.name, 'float')} {prefix}{number}[{width}];")
    code.add(f"EACH for (int e = 0; e < {width}; ++e) {prefix}{number}[e] = {expression};")


def run(
    code: Code,
    program: Program,
    operands: Sequence[Operand],
    results: Sequence[Operand],
    position: Sequence[str],
    width: int,
    *,
    anchored: bool,
) -> None:
    """A program without reductions at `width` neighbouring elements. `anchored`: v0 is there already."""
    for number, operand in enumerate(operands, start=int(anchored)):
        operand.read(code, f"v{number}", position, width)
    for number in range(len(program.inputs), len(program.inputs) + len(program.steps)):
        compute(code, program, number, width)
    for result, value in zip(results, program.results, strict=True):
        result.write(code, f"v{value}", position, width)


def widest(operands: Sequence[Operand], extent: int, widths: Sequence[int]) -> int:
    """The largest of `widths` at which the last axis, of so many elements, is worth dividing."""
    for width in widths:
        wide = [operand.aligned(width) for operand in operands if operand.strides[-1]]
        if extent % width == 0 and all(wide):
            return width
    return 1
