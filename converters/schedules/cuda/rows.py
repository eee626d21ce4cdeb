"""Programs with reductions: softmax, normalisations, sums, on the helpers of device/rows.cuh.

A row is what one reduction runs over. Where the reduced axes include the last one, the threads of a warp
(or of a block, for long rows) are neighbours in the row; otherwise they are neighbouring rows, and each
walks through its own, or through a share of it. A row is read once for each reduction that waits for
another, from cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod

from converters.schedules.cpu.elements import Loops, collapse
from converters.schedules.cuda.code import Code, Operand, compute, coordinates
from converters.schedules.cuda.source import NAME, Dim3, Source, Start
from converters.schedules.network.program import Program

# Rows of at most so many elements are a warp's, of which a block has WARPS; longer ones a block's.
SHORT = 512
WARPS = 4
LONG_WARPS = 8
# Rows across which neighbouring rows run: threads of a block, and into how many shares a long row is cut.
ACROSS = 128
SHARES = 8
UNSHARED = 32

OPERATIONS = {"sum": "Sum", "prod": "Product", "max": "Max", "min": "Min"}


def emit(
    signature: str,
    program: Program,
    operands: Sequence[Operand],
    results: Sequence[Operand],
    arguments: Sequence[int],
) -> Source:
    """The operands' strides are over the axes of `program.shape`."""
    reduced = [axis in program.axes for axis in range(len(program.shape))]
    every = [*operands, *results]
    loops = collapse(program.shape, reduced, [operand.strides for operand in every])
    every = [replace(o, strides=strides) for o, strides in zip(every, loops.strides, strict=True)]
    split = len(operands)
    writer = _Writer(program, loops, every[:split], every[split:])
    text = writer.text(signature)
    layout = writer.layout
    start = Start("", (layout.blocks, 1, 1), layout.block, 0, tuple(arguments))
    return Source(text, (start,))


@dataclass(frozen=True)
class _Layout:
    """How threads share rows: the first element of a thread, its step, its row, and how parts combine."""

    block: Dim3
    blocks: int
    row: str
    first: str
    step: int
    combine: str
    scratch: int
    leads: str
    """Whether a thread writes what there is one of in a row."""


def _lay_out(loops: Loops) -> _Layout:
    length = prod(n for n, reduced in zip(loops.extents, loops.reduced, strict=True) if reduced)
    rows = prod(loops.extents) // length
    if loops.reduced[-1]:
        if length <= SHORT:
            row = f"blockIdx.x * {WARPS} + threadIdx.x / 32"
            lane = "threadIdx.x % 32"
            blocks = -(-rows // WARPS)
            return _Layout(
                (32 * WARPS, 1, 1), blocks, row, lane, 32, "over_warp<{0}>({1})", 0, f"{lane} == 0"
            )
        threads = 32 * LONG_WARPS
        combine = f"over_block<{{0}}, {LONG_WARPS}>({{1}}, scratch)"
        return _Layout(
            (threads, 1, 1),
            rows,
            "blockIdx.x",
            "threadIdx.x",
            threads,
            combine,
            LONG_WARPS,
            "threadIdx.x == 0",
        )
    if length <= UNSHARED:
        row = f"blockIdx.x * {ACROSS} + threadIdx.x"
        return _Layout((ACROSS, 1, 1), -(-rows // ACROSS), row, "0", 1, "{1}", 0, "true")
    row = "blockIdx.x * 32 + threadIdx.x"
    return _Layout(
        (32, SHARES, 1),
        -(-rows // 32),
        row,
        "threadIdx.y",
        SHARES,
        "over_columns<{0}>({1}, scratch)",
        32 * SHARES,
        "threadIdx.y == 0",
    )


class _Writer:
    def __init__(
        self, program: Program, loops: Loops, operands: Sequence[Operand], results: Sequence[Operand]
    ) -> None:
        self._program = program
        self._operands = operands
        self._results = results
        self._loops = loops
        self.layout = _lay_out(loops)
        self._reduced = program.is_reduced()
        self._first = len(program.inputs)
        self._level = [0] * self._first
        for step in program.steps:
            level = max((self._level[i] for i in step.arguments), default=0)
            self._level.append(level + bool(step.axes))
        self._length = prod(self._extents(reduced=True))
        self._rows = prod(loops.extents) // self._length

    def _extents(self, *, reduced: bool) -> list[int]:
        return [n for n, r in zip(self._loops.extents, self._loops.reduced, strict=True) if r is reduced]

    def text(self, signature: str) -> str:
        layout = self.layout
        code = Code()
        if layout.scratch:
            code.add(f"__shared__ float scratch[{layout.scratch}];")
        code.add(f"const int row = {layout.row};")
        # A thread without a row stays where others of its block wait for it, and writes nothing.
        code.add(f"const bool there = row < {self._rows};")
        for axis, text in zip(self._axes(reduced=False), self._kept(), strict=True):
            code.add(f"const int c{axis} = {text};")
        for level in range(max(self._level) + 1):
            self._single_values(code, level)
            self._reductions(code, level + 1)
        self._write_single(code)
        self._write_rows(code)
        threads = prod(layout.block)
        return f"KERNEL({threads}) {NAME}({signature}) {{\n{code.text()}\n}}\n"

    def _axes(self, *, reduced: bool) -> list[int]:
        return [axis for axis, r in enumerate(self._loops.reduced) if r is reduced]

    def _kept(self) -> list[str]:
        return coordinates(f"(there ? row : {self._rows - 1})", self._extents(reduced=False))

    def _position(self, *, inside: bool) -> list[str]:
        names = [f"c{axis}" for axis in range(len(self._loops.extents))]
        if not inside:
            names = ["0" if r else name for name, r in zip(names, self._loops.reduced, strict=True)]
        return names

    def _single_values(self, code: Code, level: int) -> None:
        """What there is one of in a row, and waits for no further reduction."""
        for number, single in enumerate(self._reduced):
            if not single or self._level[number] != level:
                continue
            if number < self._first:
                self._operands[number].read(code, f"v{number}", self._position(inside=False), 1)
            elif not self._program.steps[number - self._first].axes:
                compute(code, self._program, number, 1)

    def _reductions(self, code: Code, level: int) -> None:
        """A pass over the row for the reductions that can be done now."""
        due = {
            self._first + i: step
            for i, step in enumerate(self._program.steps)
            if step.axes and self._level[self._first + i] == level
        }
        if not due:
            return
        for number, step in due.items():
            code.add(f"float v{number}[1] = {{{OPERATIONS[step.name]}::start()}};")
        self._open(code)
        done: set[int] = set()
        for number, step in due.items():
            (argument,) = step.arguments
            self._need(code, argument, done)
            operation = OPERATIONS[step.name]
            code.add(f"  v{number}[0] = {operation}::of(v{number}[0], v{argument}[0]);")
        code.add("}")
        for number, step in due.items():
            combined = self.layout.combine.format(OPERATIONS[step.name], f"v{number}[0]")
            code.add(f"v{number}[0] = {combined};")

    def _open(self, code: Code) -> None:
        code.add(f"for (int r = {self.layout.first}; r < {self._length}; r += {self.layout.step}) {{")
        extents = self._extents(reduced=True)
        for axis, text in zip(self._axes(reduced=True), coordinates("r", extents), strict=True):
            code.add(f"  const int c{axis} = {text};")

    def _need(self, code: Code, number: int, done: set[int]) -> None:
        """Computes a value of an element, unless it is there."""
        if number in done or self._reduced[number]:
            return
        done.add(number)
        if number < self._first:
            self._operands[number].read(code, f"v{number}", self._position(inside=True), 1)
            return
        for argument in self._program.steps[number - self._first].arguments:
            self._need(code, argument, done)
        compute(code, self._program, number, 1)

    def _write_single(self, code: Code) -> None:
        for value, operand in zip(self._program.results, self._results, strict=True):
            if self._reduced[value]:
                code.add(f"if (there && {self.layout.leads}) {{")
                operand.write(code, f"v{value}", self._position(inside=False), 1)
                code.add("}")

    def _write_rows(self, code: Code) -> None:
        whole = [
            (value, operand)
            for value, operand in zip(self._program.results, self._results, strict=True)
            if not self._reduced[value]
        ]
        if not whole:
            return
        code.add("if (!there) return;")
        self._open(code)
        done: set[int] = set()
        for value, operand in whole:
            self._need(code, value, done)
            operand.write(code, f"v{value}", self._position(inside=True), 1)
        code.add("}")
