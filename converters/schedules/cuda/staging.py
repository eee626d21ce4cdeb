"""How the words of a product's operands lie in shared memory while blocks multiply them."""

from __future__ import annotations

from dataclasses import dataclass

DEPTH = 32
"""Depths of one stage."""


@dataclass(frozen=True)
class Staging:
    """`halves`: products are of halves; `half_weights`: the right operand is packed as such; `by_column`: the
    right operand's columns are one after the other, as its depths are neighbours in memory."""

    halves: bool = False
    half_weights: bool = False
    by_column: bool = False

    def words(self, rows: int, columns: int) -> int:
        """Of one stage of a tile of so many rows and columns: Tile::STAGE_WORDS of device/tile.cuh."""
        pad_left = 8 if self.halves else 4
        pad_right = 4 if self.halves and not self.half_weights else 8
        across = DEPTH + pad_left if self.by_column else columns + pad_right
        count = columns if self.by_column else DEPTH // (2 if self.half_weights else 1)
        return rows * (DEPTH + pad_left) + count * across
