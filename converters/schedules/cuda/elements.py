"""Kernels whose every element is computed by itself: pointwise, moved, pooled, resampled.

A thread takes some neighbouring elements of the last axis. The anchor says how their first value comes about;
the program goes on from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Protocol

from converters.schedules.cpu.elements import collapse
from converters.schedules.cuda.code import Code, Operand, coordinates, run, widest
from converters.schedules.cuda.source import NAME, Source, Start
from converters.schedules.network.program import Program

THREADS = 256
WIDTHS = (4, 2)


class Anchor(Protocol):
    """Where the first value of a program comes from."""

    def widths(self, widths: Sequence[int]) -> Sequence[int]:
        """Those of `widths` neighbouring elements that it can give at once, the last axis being divided."""
        ...

    def emit(self, code: Code, position: Sequence[str], width: int) -> None:
        """Declares the array v0 with the elements from `position` on."""
        ...


def emit(
    signature: str,
    program: Program,
    operands: Sequence[Operand],
    results: Sequence[Operand],
    anchor: Anchor | None = None,
    *,
    suffix: str = "",
    arguments: Sequence[int],
) -> Source:
    """`signature`: the parameters as C has them; `arguments`: the numbers of those that are passed."""
    if anchor is None:
        program, operands, results = _collapsed(program, operands, results)
    shape = program.shape
    widths = WIDTHS if anchor is None else anchor.widths(WIDTHS)
    width = widest((*operands, *results), shape[-1], widths) if shape else 1
    total = prod(shape)
    count = total // width
    code = Code()
    code.add(f"const int i = blockIdx.x * {THREADS} + threadIdx.x;")
    code.add(f"if (i >= {count}) return;")
    position = coordinates("i", (*shape[:-1], shape[-1] // width))
    if width > 1:
        position[-1] = f"({position[-1]} * {width})"
    names = [f"c{axis}" for axis in range(len(shape))]
    for name, text in zip(names, position, strict=True):
        code.add(f"const int {name} = {text};")
    if anchor is not None:
        anchor.emit(code, names, width)
    run(code, program, operands, results, names, width, anchored=anchor is not None)
    text = f"KERNEL({THREADS}) {NAME}{suffix}({signature}) {{\n{code.text()}\n}}\n"
    start = Start(suffix, (-(-count // THREADS), 1, 1), (THREADS, 1, 1), 0, tuple(arguments))
    return Source(text, (start,))


def _collapsed(
    program: Program, operands: Sequence[Operand], results: Sequence[Operand]
) -> tuple[Program, list[Operand], list[Operand]]:
    """Neighbouring axes that every tensor walks through as one become one."""
    every = [*operands, *results]
    loops = collapse(program.shape, [False] * len(program.shape), [operand.strides for operand in every])
    every = [replace(o, strides=strides) for o, strides in zip(every, loops.strides, strict=True)]
    split = len(operands)
    return replace(program, shape=loops.extents), every[:split], every[split:]
