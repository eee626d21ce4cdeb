"""Programs with reductions: softmax, normalisations, sums, on the helpers of device/rows.cuh.

A row is what one reduction runs over. Where the reduced axes include the last one, the threads of a warp
(or of a block, for long rows) are neighbours in the row; otherwise they are neighbouring rows, and each
walks through its own, or through a share of it. A row is read once for each reduction that waits for
another, from cache.

Where rows are so few that they leave a GPU idle, several blocks split each. Then every such pass is a kernel
of its own, which writes what its parts found into scratch memory; the next one joins that in a fixed order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from converters.schedules.cuda.code import Code, compute, coordinates
from converters.schedules.cuda.reduction import Reduction
from converters.schedules.cuda.source import NAME, Source, Start
from converters.schedules.network.program import Step

OPERATIONS = {"sum": "Sum", "prod": "Product", "max": "Max", "min": "Min"}


def emit(problem: Reduction, signature: str, arguments: Sequence[int], scratch: str | None) -> Source:
    """`scratch`: the name in `signature` of the memory asked for."""
    writer = _Writer(problem, scratch)
    sharing = problem.sharing
    if scratch is None:
        start = Start("", (sharing.blocks, 1, 1), sharing.block, 0, tuple(arguments))
        return Source(writer.whole(signature), (start,))
    texts, starts = [], []
    last = max(problem.levels)
    for level in range(last + 1):
        suffix = "" if level == last else f"_part{level + 1}"
        splits = sharing.splits if level < last or problem.writes_rows else 1
        texts.append(writer.pass_(signature, suffix, level))
        starts.append(Start(suffix, (sharing.blocks, splits, 1), sharing.block, 0, tuple(arguments)))
    return Source("".join(texts), tuple(starts))


class _Writer:
    def __init__(self, problem: Reduction, scratch: str | None) -> None:
        self._problem = problem
        self._program = problem.program
        self._loops = problem.loops
        every = [
            replace(operand, strides=strides)
            for operand, strides in zip(
                (*problem.operands, *problem.results), problem.loops.strides, strict=True
            )
        ]
        self._operands = every[: len(problem.operands)]
        self._results = every[len(problem.operands) :]
        self._sharing = problem.sharing
        self._scratch = scratch
        self._reduced = self._program.is_reduced()
        self._first = len(self._program.inputs)
        self._level = problem.levels

    def whole(self, signature: str) -> str:
        """The kernel where no row is split."""
        code = self._begin()
        for level in range(max(self._level) + 1):
            self._single_values(code, level)
            self._reductions(code, level + 1)
        self._write_single(code)
        self._write_rows(code)
        return self._function(signature, "", code)

    def pass_(self, signature: str, suffix: str, known: int) -> str:
        """A kernel that joins the parts of `known` levels of reductions, and does what comes next."""
        code = self._begin()
        for level in range(known + 1):
            self._single_values(code, level)
            if level < known:
                self._join_parts(code, level + 1)
        if known < max(self._level):
            self._reductions(code, known + 1)
            self._write_parts(code, known + 1)
        else:
            self._write_single(code)
            self._write_rows(code)
        return self._function(signature, suffix, code)

    def _begin(self) -> Code:
        sharing = self._sharing
        code = Code()
        if sharing.scratch:
            code.add(f"__shared__ float scratch[{sharing.scratch}];")
        code.add(f"const int row = {sharing.row};")
        if sharing.splits > 1:
            code.add("const int part = blockIdx.y;")
        # A thread without a row stays where others of its block wait for it, and writes nothing.
        code.add(f"const bool there = row < {self._problem.count};")
        for axis, text in zip(self._axes(reduced=False), self._kept(), strict=True):
            code.add(f"const int c{axis} = {text};")
        return code

    def _function(self, signature: str, suffix: str, code: Code) -> str:
        threads = prod(self._sharing.block)
        return f"KERNEL({threads}) {NAME}{suffix}({signature}) {{\n{code.text()}\n}}\n"

    def _axes(self, *, reduced: bool) -> list[int]:
        return [axis for axis, r in enumerate(self._loops.reduced) if r is reduced]

    def _kept(self) -> list[str]:
        return coordinates(self._safe_row(), self._problem.extents(reduced=False))

    def _safe_row(self) -> str:
        return f"(there ? row : {self._problem.count - 1})"

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
        due = self._due(level)
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
        self._combine(code, due)

    def _due(self, level: int) -> dict[int, Step]:
        """By value, the reductions that wait for so many, themselves included."""
        return {
            self._first + i: step
            for i, step in enumerate(self._program.steps)
            if step.axes and self._level[self._first + i] == level
        }

    def _combine(self, code: Code, due: dict[int, Step]) -> None:
        """What the threads of a row have each becomes what the row has."""
        for number, step in due.items():
            combined = self._sharing.combine.format(OPERATIONS[step.name], f"v{number}[0]")
            code.add(f"v{number}[0] = {combined};")

    def _part(self, number: int, split: str, row: str) -> str:
        """Where a part of a row keeps what it found."""
        reductions = [self._first + i for i, step in enumerate(self._program.steps) if step.axes]
        before = reductions.index(number) * self._sharing.splits
        return f"{self._scratch}[({before} + {split}) * {self._problem.count} + {row}]"

    def _write_parts(self, code: Code, level: int) -> None:
        for number in self._due(level):
            kept = self._part(number, "part", "row")
            code.add(f"if (there && {self._sharing.leads}) {kept} = v{number}[0];")

    def _join_parts(self, code: Code, level: int) -> None:
        """What the parts of a row found, shared among its threads as its elements are."""
        due = self._due(level)
        sharing = self._sharing
        for number, step in due.items():
            operation = OPERATIONS[step.name]
            part = self._part(number, "s", self._safe_row())
            code.add(f"float v{number}[1] = {{{operation}::start()}};")
            code.add(f"for (int s = {sharing.first}; s < {sharing.splits}; s += {sharing.step})")
            code.add(f"  v{number}[0] = {operation}::of(v{number}[0], {part});")
        self._combine(code, due)

    def _open(self, code: Code) -> None:
        """A loop over the thread's elements of its row, or of the block's part of it."""
        sharing, length = self._sharing, self._problem.length
        begin, end = sharing.first, str(length)
        if sharing.splits > 1:
            steps = -(-length // sharing.step)
            share = -(-steps // sharing.splits) * sharing.step
            begin, end = (
                f"blockIdx.y * {share} + {sharing.first}",
                f"min((blockIdx.y + 1) * {share}, {length})",
            )
        code.add(f"for (int r = {begin}, end = {end}; r < end; r += {sharing.step}) {{")
        extents = self._problem.extents(reduced=True)
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
                once = " && part == 0" if self._sharing.splits > 1 else ""
                code.add(f"if (there && {self._sharing.leads}{once}) {{")
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
