"""A product of matrices whose operands need not lie in memory as matrices, and what follows it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod

from converters.schedules.cuda.code import Operand
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.staging import Staging
from converters.schedules.cuda.tiles import Tile, choose_tile
from converters.schedules.cuda.window import Window
from converters.schedules.network.program import Program


@dataclass(frozen=True)
class Left:
    """The left operand: [batch axes, row axes, depth] by strides, or windows of images [N, *spatial, C] whose
    batch axis is a group of channels."""

    name: str
    batch: tuple[int, ...]
    rows: tuple[int, ...]
    depth: int
    window: Window | None = None
    channels: int = 0
    """Of an image: those of all groups."""


@dataclass(frozen=True)
class Right:
    """The right operand: [batch axes, depth, column] by strides, of floats; or `packed`, as `layout`
    makes it: a matrix for each of the batch, one after the other, whatever the strides."""

    name: str
    batch: tuple[int, ...]
    depth: int
    column: int
    packed: bool = False


@dataclass(frozen=True)
class Extents:
    """`batch` axes of products, each of `rows` (axes) x `columns` results with `depth` terms."""

    batch: tuple[int, ...]
    rows: tuple[int, ...]
    columns: int
    depth: int


def padded_columns(columns: int) -> int:
    """The columns of a packed operand's rows, which are copied four at a time."""
    return -(-columns // 4) * 4


@dataclass(frozen=True)
class Product:
    """A product and what follows it: operands and results over (*batch, *rows, column)."""

    gpu: Gpu
    extents: Extents
    left: Left
    right: Right
    program: Program
    operands: tuple[Operand, ...]
    results: tuple[Operand, ...]

    @property
    def m(self) -> int:
        return prod(self.extents.rows)

    @property
    def batches(self) -> int:
        return prod(self.extents.batch)

    @property
    def staging(self) -> Staging:
        halves, right = self.gpu.precision == "fp16", self.right
        by_column = not right.packed and right.depth == 1 and right.column != 1
        return Staging(halves, halves and right.packed, by_column)

    @cached_property
    def tile(self) -> Tile:
        extents = self.extents
        return choose_tile(self.gpu, self.staging, self.m, extents.columns, extents.depth, self.batches)

    @property
    def partial_columns(self) -> int:
        return -(-self.extents.columns // 2) * 2

    @property
    def scratch(self) -> tuple[int, ...]:
        """Floats for the sums of each split, where there are several."""
        splits = self.tile.splits
        return () if splits == 1 else (splits * self.batches * self.m * self.partial_columns,)
