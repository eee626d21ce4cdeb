"""Operations across the channels of blocked tensors, whose lanes they mix.

Data and output: [C/v, N, *spatial, v].
"""

from __future__ import annotations

from collections.abc import Sequence

from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink, splat
from converters.schedules.cpu.shuffles import gathered, shuffle


def emit_shuffle(
    kernel: Kernel, channels: int, groups: int, shape: Sequence[int], data: Buffer, sink: Sink
) -> None:
    """Channel i * groups + g of the output is channel g * C / groups + i of the input."""
    blocks, batch, *spatial, lanes = shape
    per_group = channels // groups
    for block in range(blocks):
        wanted: dict[int, list[int]] = {}
        for lane in range(lanes):
            channel = min(block * lanes + lane, channels - 1)
            source = channel % groups * per_group + channel // groups
            wanted.setdefault(source // lanes, [-1] * lanes)[lane] = source % lanes
        with kernel.nest((batch, *spatial), "n" + "p" * len(spatial)) as (image, *pixel):
            sources = [
                (kernel.bind(kernel.load(data, (number, image, *pixel, 0), lanes)), lanes_wanted)
                for number, lanes_wanted in wanted.items()
            ]
            sink(gathered(kernel, sources, lanes), (block, image, *pixel, 0))


def emit_average(
    kernel: Kernel, channels: int, size: int, shape: Sequence[int], data: Buffer, sink: Sink
) -> None:
    """The sum over the `size` channels around each, divided by `size`."""
    blocks, batch, *spatial, lanes = shape
    reach = size // 2
    zero = splat(0.0, lanes)
    with kernel.nest((batch, *spatial), "n" + "p" * len(spatial)) as (image, *pixel):
        vectors = [
            kernel.bind(
                kernel.load(data, (block, image, *pixel, 0), lanes, min(lanes, channels - block * lanes))
            )
            for block in range(blocks)
        ]
        for block in range(blocks):
            total = vectors[block]
            for distance in range(1, reach + 1):
                total = (
                    total
                    + _shifted(vectors, block, distance, zero)
                    + _shifted(vectors, block, -distance, zero)
                )
            sink(total * splat(1.0 / size, lanes), (block, image, *pixel, 0))


def _shifted(vectors: Sequence[Expr], block: int, distance: int, zero: Expr) -> Expr:
    """The channels `distance` after those of a block."""
    lanes = int(zero.ty.dtype.lanes)
    far, near = divmod(block * lanes + distance, lanes)
    pair = [vectors[i] if 0 <= i < len(vectors) else zero for i in (far, far + 1)]
    return shuffle(pair, range(near, near + lanes)) if near else pair[0]
