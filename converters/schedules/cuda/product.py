"""Products of matrices, convolutions among them, on the template of device/product.cuh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from converters.schedules.cuda import elements, operands
from converters.schedules.cuda.anchors import Partial
from converters.schedules.cuda.code import Code, coordinates, run
from converters.schedules.cuda.gpu import ARITHMETIC
from converters.schedules.cuda.problem import Product
from converters.schedules.cuda.source import NAME, Source, Start
from converters.schedules.cuda.staging import DEPTH


def emit(problem: Product, signature: str, parameters: Sequence[str], scratch: str | None) -> Source:
    """`parameters`: the names in `signature`, in order; `scratch`: that of the memory asked for."""
    every = tuple(range(len(parameters)))
    writer = _Writer(problem, scratch)
    tile = problem.tile
    words = problem.staging.words(tile.rows, tile.columns)
    # All along one axis of the grid: the others end at 65,535.
    tiles = (
        problem.batches,
        tile.splits,
        -(-problem.extents.columns // tile.columns),
        -(-problem.m // tile.rows),
    )
    z, split, column, row = coordinates("block", tiles)
    passed = ", ".join(parameters)
    lines = [
        f"struct {NAME}_problem {{",
        *(f"  {line};" for line in signature.replace("__restrict__ ", "").split(", ")),
        "  int z, split;",
        *writer.members(),
        "};",
        f"KERNEL(Tile<{NAME}_problem>::THREADS, {tile.resident}) {NAME}({signature}) {{",
        f"  static_assert(Tile<{NAME}_problem>::STAGE_WORDS == {words});",
        "  DYNAMIC_SHARED(shared);",
        "  const int block = blockIdx.x;",
        f"  const int z = {z}, split = {split};",
        f"  const {NAME}_problem problem{{{passed}, z, split}};",
        f"  const int begin = split * {writer.share};",
        f"  const int end = min(begin + {writer.share}, {problem.extents.depth});",
        f"  product(problem, reinterpret_cast<unsigned*>(shared), {row} * {tile.rows},"
        f" {column} * {tile.columns}, begin, end);",
        "}",
    ]
    start = Start("", (prod(tiles), 1, 1), (tile.threads, 1, 1), tile.shared_bytes(problem.staging), every)
    text = "\n".join(lines) + "\n"
    if scratch is None:
        return Source(text, (start,))
    added = _sum(problem, signature, scratch, every)
    return Source(text + added.text, (start, *added.starts))


def _sum(problem: Product, signature: str, scratch: str, arguments: tuple[int, ...]) -> Source:
    """The kernel that adds the splits up and goes on with the program."""
    extents = problem.extents
    shape = (*extents.batch, *extents.rows, extents.columns)
    anchor = Partial(scratch, problem.tile.splits, shape, problem.partial_columns)
    program = replace(problem.program, shape=shape)
    return elements.emit(
        signature,
        program,
        problem.operands,
        problem.results,
        anchor,
        suffix="_sum",
        arguments=arguments,
    )


class _Writer:
    """The members of a problem: see device/product.cuh and, for its operands, device/tile.cuh."""

    def __init__(self, problem: Product, scratch: str | None) -> None:
        self._problem = problem
        self._scratch = scratch
        self._tile = problem.tile
        self._extents = problem.extents
        steps = -(-self._extents.depth // DEPTH)
        self.share = -(-steps // self._tile.splits) * DEPTH
        """The depth of one split."""
        self._staging = problem.staging

    def members(self) -> list[str]:
        extents = self._extents
        constants = [
            f"  static constexpr int M = {self._problem.m}, N = {extents.columns}, K = {extents.depth};",
            f"  static constexpr int DEPTH = {DEPTH};",
            f"  static constexpr int ROWS = {self._tile.rows}, COLUMNS = {self._tile.columns};",
            f"  static constexpr int WARPS_M = {self._tile.warps_m}, WARPS_N = {self._tile.warps_n};",
            f"  static constexpr int STEPS = {self.share // DEPTH}, STAGES = {self._tile.stages};",
            f"  static constexpr Arithmetic ARITHMETIC = {ARITHMETIC[self._problem.gpu.precision]};",
            f"  static constexpr bool HALF_WEIGHTS = {_bool(self._staging.half_weights)};",
            f"  static constexpr bool RIGHT_BY_COLUMN = {_bool(self._staging.by_column)};",
            f"  static constexpr bool RIGHT_ROUNDED = {_bool(self._problem.right.packed)};",
        ]
        lie = [f"  {line}" for line in operands.members(self._problem)]
        return [*constants, *lie, *self._store()]

    def _batch(self) -> list[str]:
        return coordinates("z", self._extents.batch)

    def _store(self) -> list[str]:
        """Two neighbouring results at a time where all rows have an even number of them."""
        columns = self._extents.columns
        width = 2 if columns % 2 == 0 or self._scratch is not None else 1
        code = Code()
        if self._scratch is not None:
            row = f"(split * {self._problem.batches} + z) * {self._problem.m} + m"
            at = f"({row}) * {self._problem.partial_columns} + n"
            code.add(f"store({self._scratch} + {at}, v0);")
        else:
            rows = self._extents.rows
            position = [*self._batch(), *coordinates("m", rows), "n"]
            problem = self._problem
            run(code, problem.program, problem.operands, problem.results, position, width, anchored=True)
        if width == 2:
            head = "  INSIDE_MEMBER void store(int m, int n, float first, float second) const {"
            return [
                head,
                "    const float v0[2] = {first, second};",
                f"    using ::store;\n{code.text('    ')}",
                "  }",
            ]
        return [
            "  INSIDE_MEMBER void one(int m, int n, float value) const {",
            "    const float v0[1] = {value};",
            f"    using ::store;\n{code.text('    ')}",
            "  }",
            "  INSIDE_MEMBER void store(int m, int n, float first, float second) const {",
            "    one(m, n, first);",
            "    if (n + 1 < N) one(m, n + 1, second);",
            "  }",
        ]


def _bool(value: bool) -> str:
    return "true" if value else "false"
