"""Images of another size: every output pixel is a weighted sum of a few input pixels.

Data and output: [C/v, N, *spatial, v].
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import product

from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink, splat


@dataclass(frozen=True)
class Resampling:
    """By spatial axis: how many input pixels, and whether they are weighted; one that is not is copied."""

    axes: tuple[tuple[int, bool], ...]


def emit(
    kernel: Kernel,
    axes: Sequence[tuple[int, bool]],
    shape: Sequence[int],
    data: Buffer,
    tables: Sequence[Buffer],
    sink: Sink,
) -> None:
    """`tables`: for each axis the places [taps, size], and the weights alike if it is weighted."""
    blocks, batch, *spatial, _ = shape
    lanes = kernel.lanes
    remaining = iter(tables)
    with kernel.nest((blocks, batch), "cn") as (block, image), ExitStack() as loops:
        pixel: list[Expr] = []
        taps: list[list[tuple[Expr, Expr]]] = []
        for extent, (count, weighted) in zip(spatial, axes, strict=True):
            position = loops.enter_context(kernel.loop(extent, name="p"))
            places = next(remaining)
            weights = next(remaining) if weighted else None
            pixel.append(position)
            taps.append([_tap(kernel, places, weights, tap, position) for tap in range(count)])
        total: Expr = None
        for chosen in product(*taps):
            value = kernel.load(data, (block, image, *(place for place, _ in chosen), 0), lanes)
            for weight in (weight for _, weight in chosen if weight is not None):
                value = value * splat(weight, lanes)
            total = value if total is None else total + value
        sink(total, (block, image, *pixel, 0))


def _tap(
    kernel: Kernel, places: Buffer, weights: Buffer | None, tap: int, position: Expr
) -> tuple[Expr, Expr]:
    place = kernel.bind(kernel.load(places, (tap, position)))
    return place, None if weights is None else kernel.bind(kernel.load(weights, (tap, position)))
