"""Products of matrices, convolutions among them, on the template of device/product.cuh."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from converters.schedules.cuda import elements
from converters.schedules.cuda.anchors import Partial
from converters.schedules.cuda.code import Code, coordinates, offset, run
from converters.schedules.cuda.gpu import ARITHMETIC
from converters.schedules.cuda.problem import Product, padded_columns
from converters.schedules.cuda.source import NAME, Source, Start
from converters.schedules.cuda.staging import DEPTH
from converters.schedules.cuda.window import Window


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
        f"KERNEL(Tile<{NAME}_problem>::THREADS) {NAME}({signature}) {{",
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
    """The members of a problem: see device/product.cuh."""

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
        constants = [
            f"  static constexpr int M = {self._problem.m}, N = {self._extents.columns};",
            f"  static constexpr int ROWS = {self._tile.rows}, COLUMNS = {self._tile.columns};",
            f"  static constexpr int WARPS_M = {self._tile.warps_m}, WARPS_N = {self._tile.warps_n};",
            f"  static constexpr int DEPTH = {DEPTH}, STAGES = {self._tile.stages};",
            f"  static constexpr Arithmetic ARITHMETIC = {ARITHMETIC[self._problem.gpu.precision]};",
            f"  static constexpr bool HALF_WEIGHTS = {_bool(self._staging.half_weights)};",
            f"  static constexpr bool RIGHT_BY_COLUMN = {_bool(self._staging.by_column)};",
            f"  static constexpr bool RIGHT_ROUNDED = {_bool(self._problem.right.packed)};",
            f"  static constexpr int LEFT_WIDTH = {self._left_width()};",
            f"  static constexpr int RIGHT_WIDTH = {self._right_width()};",
            f"  INSIDE_MEMBER const void* any() const {{ return {self._problem.left.name}; }}",
        ]
        window = self._problem.left.window
        left = self._plain_left() if window is None or window.is_pointwise else self._windowed_left(window)
        return [*constants, *left, self._right(), *self._store()]

    def _left_width(self) -> int:
        left, extents = self._problem.left, self._extents
        if left.window is not None:
            each = left.channels // self._problem.batches
            return 4 if each % 4 == 0 else 1
        strides = (*left.batch, *left.rows)
        return 4 if left.depth == 1 and extents.depth % 4 == 0 and not any(s % 4 for s in strides) else 1

    def _right_width(self) -> int:
        right, extents = self._problem.right, self._extents
        if right.packed:
            return 4
        along, across = (
            (right.depth, right.column) if self._staging.by_column else (right.column, right.depth)
        )
        count = extents.depth if self._staging.by_column else extents.columns
        whole = count % 4 == 0 and across % 4 == 0 and not any(s % 4 for s in right.batch)
        return 4 if along == 1 and whole else 1

    def _batch(self) -> list[str]:
        return coordinates("z", self._extents.batch)

    def _plain_left(self) -> list[str]:
        """Rows are where strides, or the pixels of images, put them."""
        left = self._problem.left
        rows, batch, depth = left.rows, left.batch, left.depth
        extents = self._extents.rows
        if left.window is not None:
            extents = (self._problem.m,)
            rows, batch, depth = (left.channels,), (left.channels // self._problem.batches,), 1
        place = offset(coordinates("m", extents), rows)
        base = offset(self._batch(), batch)
        return [
            "  struct Row { int at; };",
            "  struct Tap { int at; };",
            f"  INSIDE_MEMBER Row row(int m) const {{ return {{{base} + {place}}}; }}",
            f"  INSIDE_MEMBER Tap tap(int k) const {{ return {{{offset(['k'], [depth])}}}; }}",
            "  INSIDE_MEMBER const float* left(const Row& row, const Tap& tap) const {"
            f" return {left.name} + row.at + tap.at; }}",
        ]

    def _windowed_left(self, window: Window) -> list[str]:
        left = self._problem.left
        channels = left.channels // self._problem.batches
        image = prod(window.input) * left.channels
        axes = range(window.rank)
        images, *pixel = coordinates("m", (self._problem.m // prod(window.output), *window.output))
        origins = []
        for axis in axes:
            pad, stride = window.pads[axis], window.strides[axis]
            if window.transposed:
                origins.append(f"{pixel[axis]} + {pad}")
            else:
                origins.append(f"{pixel[axis]} * {stride} - {pad}")
        *taps, channel = coordinates("k", (*window.kernel, channels))
        moved = [f"{tap} * {dilation}" for tap, dilation in zip(taps, window.dilations, strict=True)]
        names = ", ".join(f"o{axis}" for axis in axes)
        body = []
        for axis in axes:
            size, stride = window.input[axis], window.strides[axis]
            sign = "-" if window.transposed else "+"
            body.append(f"    int s{axis} = row.o{axis} {sign} tap.o{axis};")
            if window.transposed and stride > 1:
                body.append(f"    if (s{axis} < 0 || s{axis} % {stride}) return nullptr;")
                body.append(f"    s{axis} /= {stride};")
            body.append(f"    if ((unsigned)s{axis} >= {size}u) return nullptr;")
        steps = [prod(window.input[axis + 1 :]) * left.channels for axis in axes]
        at = offset([f"s{axis}" for axis in axes], steps)
        return [
            f"  struct Row {{ int at, {names}; }};",
            f"  struct Tap {{ int at, {names}; }};",
            "  INSIDE_MEMBER Row row(int m) const {"
            f" return {{{images} * {image} + z * {channels}, {', '.join(origins)}}}; }}",
            f"  INSIDE_MEMBER Tap tap(int k) const {{ return {{{channel}, {', '.join(moved)}}}; }}",
            "  INSIDE_MEMBER const float* left(const Row& row, const Tap& tap) const {",
            *body,
            f"    return {left.name} + row.at + tap.at + {at};",
            "  }",
        ]

    def _right(self) -> str:
        right, extents = self._problem.right, self._extents
        if right.packed:
            columns = padded_columns(extents.columns)
            depth = -(-extents.depth // 2) if self._staging.half_weights else extents.depth
            at = f"z * {depth * columns} + k * {columns} + n"
        else:
            at = f"{offset(self._batch(), right.batch)} + {offset(['k', 'n'], [right.depth, right.column])}"
        return (
            "  INSIDE_MEMBER const unsigned* right(int k, int n) const {"
            f" return reinterpret_cast<const unsigned*>({right.name}) + {at}; }}"
        )

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
