"""Where tensors that live for a while go in one workspace."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clockwork_triton.artifact.manifest import ALIGNMENT


@dataclass(frozen=True)
class Lifetime:
    """A tensor of `bytes` that must keep its place from step `first` to step `last`, both included."""

    bytes: int
    first: int
    last: int


def align(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(lifetimes: Sequence[Lifetime]) -> tuple[tuple[int, ...], int]:
    """An aligned offset for each tensor such that no two that live at once overlap, and the total bytes.

    Greedy by size with best fit (Pisarchyk and Lee, "Efficient Memory Management for Deep Neural Net
    Inference", 2020): the largest tensor first, each into the smallest gap between those placed already
    that it lives together with, else after them. Deterministic.
    """
    offsets = [0] * len(lifetimes)
    placed: list[int] = []
    total = 0
    for index in sorted(range(len(lifetimes)), key=lambda i: (-lifetimes[i].bytes, lifetimes[i].first, i)):
        tensor = lifetimes[index]
        size = align(tensor.bytes)
        rivals = sorted(
            (offsets[other], offsets[other] + align(lifetimes[other].bytes))
            for other in placed
            if lifetimes[other].first <= tensor.last and tensor.first <= lifetimes[other].last
        )
        offsets[index] = _best_gap(rivals, size)
        placed.append(index)
        total = max(total, offsets[index] + size)
    return tuple(offsets), total


def _best_gap(taken: Sequence[tuple[int, int]], size: int) -> int:
    """The beginning of the smallest gap of at least `size` between the sorted ranges, else their end."""
    best: tuple[int, int] | None = None
    end = 0
    for begin, finish in taken:
        gap = begin - end
        if gap >= size and (best is None or gap < best[0]):
            best = (gap, end)
        end = max(end, finish)
    return best[1] if best is not None else end
