"""Sums in registers over long reductions, added up piece by piece.

A sum of n products that is made one after the other is wrong by about the square root of n roundings of its
own size; pieces that are added to a total apart are wrong by that of a piece. Networks multiply such errors
from layer to layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, splat
from converters.schedules.cpu.tiles import Run, runs

# Products in a piece, about: adding a sum to its total costs as much as two products.
PIECE = 64


@dataclass(frozen=True)
class Sums:
    """`registers[column][row]` are what a reduction adds to. `totals` are the same where there are none."""

    kernel: Kernel
    registers: list[list[Buffer]]
    totals: list[list[Buffer]]

    @classmethod
    def of(cls, kernel: Kernel, columns: int, rows: int, steps: int) -> Sums:
        """For so many sums of `steps` products each, and nothing in them yet."""
        registers = _tile(kernel, columns, rows)
        totals = registers if steps <= 2 * PIECE else _tile(kernel, columns, rows)
        sums = cls(kernel, registers, totals)
        sums._clear(totals)
        return sums

    def pieces(self, blocks: int, steps: int) -> tuple[Run, ...]:
        """How to cut a loop of so many blocks of `steps` products each: every run is of pieces."""
        if not self._apart:
            return runs(blocks, blocks)
        most = max(2 * PIECE // steps, 1)
        even = [size for size in range(1, most + 1) if blocks % size == 0 and 4 * size > most]
        return runs(blocks, min(even, key=lambda size: abs(size - most // 2), default=max(most // 2, 1)))

    def are_pieces(self, steps: int) -> bool:
        """Whether a block of so many products is worth more than one piece."""
        return self._apart and steps > 2 * PIECE

    @contextmanager
    def piece(self) -> Iterator[None]:
        """What is added inside belongs to one piece."""
        if not self._apart:
            yield
            return
        self._clear(self.registers)
        yield
        for line, totals in zip(self.registers, self.totals, strict=True):
            for register, total in zip(line, totals, strict=True):
                self.kernel.store(total, (0,), self._load(total) + self._load(register))

    def add(self, column: int, row: int, value: Expr, weight: Expr) -> None:
        """The product of two vectors."""
        register = self.registers[column][row]
        self.kernel.store(register, (0,), self.kernel.fma(value, weight, self._load(register)))

    def total(self, column: int, row: int) -> Expr:
        return self._load(self.totals[column][row])

    @property
    def _apart(self) -> bool:
        return self.totals is not self.registers

    def _clear(self, tile: list[list[Buffer]]) -> None:
        for line in tile:
            for register in line:
                self.kernel.store(register, (0,), splat(0.0, self.kernel.lanes))

    def _load(self, buffer: Buffer) -> Expr:
        return self.kernel.load(buffer, (0,), self.kernel.lanes)


def _tile(kernel: Kernel, columns: int, rows: int) -> list[list[Buffer]]:
    return [[kernel.local(kernel.lanes) for _ in range(rows)] for _ in range(columns)]
