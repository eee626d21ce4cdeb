"""Direct convolution over blocked layouts, a tile of one image row of some output blocks at a time.

    data    [C/v, N, *spatial, v], or [N, C, *spatial] for the few channels of an image
    weight  [K/v, C/G/v, *kernel, v in, v out], or [K/v, C/G, *kernel, 1, v out]
    bias    [K/v, v]
    output  [K/v, N, *spatial, v]

A tile of neighbouring output pixels times some output blocks stays in registers over the whole reduction.
Tiles that meet the left or right border are written out apart and leave out the multiplications outside the
image; the rows outside it are left out by loop bounds. So no padded copy of the input exists.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from math import prod

from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink, minimum, splat
from converters.schedules.cpu.sums import Sums
from converters.schedules.cpu.tiles import best_tile, divisor, runs
from converters.schedules.cpu.window import Window


@dataclass(frozen=True)
class Convolution:
    """`groups` sets of `out_blocks` output blocks read `in_channels` neighbouring channels each.

    They are the convolution's groups where those are whole blocks. Elsewhere a set is a single block, which
    reads the channels of every group that it has a part in; zeros in the weight keep these apart.
    """

    batch: int
    channels: int
    in_channels: int
    group_inputs: int
    group_outputs: int
    groups: int
    out_blocks: int
    window: Window
    blocked: bool
    steps: tuple[int, ...] = ()
    begins: tuple[int, ...] = ()
    """Where on each axis the output pixels go: every `steps`-th from `begins` on. None: where they are."""

    @classmethod
    def of(
        cls,
        batch: int,
        channels: int,
        filters: int,
        groups: int,
        window: Window,
        lanes: int,
        *,
        blocked: bool,
    ) -> Convolution:
        inputs, outputs = channels // groups, filters // groups
        blocks = -(-filters // lanes)
        if groups == 1:
            return cls(batch, channels, channels, inputs, outputs, 1, blocks, window, blocked)
        if outputs % lanes == 0:
            return cls(batch, channels, inputs, inputs, outputs, groups, outputs // lanes, window, blocked)
        ends = [min((block + 1) * lanes, filters) for block in range(blocks)]
        spans = [(end - 1) // outputs - block * lanes // outputs + 1 for block, end in enumerate(ends)]
        return cls(batch, channels, max(spans) * inputs, inputs, outputs, blocks, 1, window, blocked)

    def first_channel(self, group: Expr, lanes: int) -> Expr:
        """Where the input channels of a set begin."""
        if self.groups == 1:
            return 0
        first = group * self.out_blocks * lanes // self.group_outputs * self.group_inputs
        last = self.channels - self.in_channels
        return minimum(first, last)

    def inner(self, lanes: int) -> int:
        """How many input channels the kernel takes at a time: blocks, if every set is whole blocks."""
        aligned = self.groups == 1 or self.group_inputs % lanes == 0
        return lanes if self.blocked and aligned else 1


@dataclass(frozen=True)
class Deconvolution:
    """A transposed convolution: one convolution for each position of an output pixel relative to the input's
    grid. Each has its own taps of the kernel, and so its own weight."""

    phases: tuple[Convolution, ...]


@dataclass(frozen=True)
class Operands:
    data: Buffer
    weight: Buffer
    bias: Buffer


def emit(kernel: Kernel, conv: Convolution, operands: Operands, sink: Sink, *, flat: bool) -> None:
    """Writes the loops. `flat`: the sink takes the pixels of all images as one row."""
    if flat and conv.blocked and conv.window.is_pointwise:
        conv = replace(conv, batch=1, window=conv.window.flattened(conv.batch))
    _Nest(kernel, conv, operands, sink).emit()


@dataclass(frozen=True)
class _Tile:
    """`size` pixels from `column` on, in the rows at `outer` of an image, of some output blocks."""

    image: Expr
    group: Expr
    blocks: Sequence[Expr]
    outer: Sequence[Expr]
    column: Expr
    size: int
    interior: bool


@dataclass(frozen=True)
class _Nest:
    kernel: Kernel
    conv: Convolution
    operands: Operands
    sink: Sink

    def emit(self) -> None:
        """Half of the second-level cache is for the weights of a chunk of output blocks, while all images
        pass; a quarter for the pixels of some tiles, while the chunk passes."""
        conv, kernel, window = self.conv, self.kernel, self.conv.window
        rows, vectors = best_tile(kernel.machine, window.output[-1], conv.out_blocks)
        panel = vectors * kernel.lanes * conv.in_channels * prod(window.kernel) * 4
        for cut in runs(conv.out_blocks, vectors):
            chunk = divisor(cut.count, kernel.machine.l2 // 2 // panel)
            extents = (conv.groups, cut.count // chunk, conv.batch, *window.output[:-1])
            with kernel.nest(extents, "gkn" + "p" * (len(extents) - 3)) as (group, far, image, *outer):
                for run, interior in window.classify(runs(window.output[-1], rows)):
                    some = divisor(run.count, kernel.machine.l2 // 4 // self._pixel_bytes(run.size))
                    with kernel.nest((run.count // some, chunk, some), "qkq") as (before, near, number):
                        first = group * conv.out_blocks + cut.begin + (far * chunk + near) * cut.size
                        blocks = [first + j for j in range(cut.size)]
                        column = run.begin + (before * some + number) * run.size
                        self._tile(_Tile(image, group, blocks, outer, column, run.size, interior))

    def _pixel_bytes(self, size: int) -> int:
        """What a tile of that many pixels reads of the input."""
        window = self.conv.window
        return size * window.strides[-1] * self.conv.in_channels * prod(window.kernel[:-1]) * 4

    def _tile(self, tile: _Tile) -> None:
        kernel, lanes = self.kernel, self.kernel.lanes
        steps = self.conv.in_channels * prod(self.conv.window.kernel)
        sums = Sums.of(kernel, len(tile.blocks), tile.size, steps)
        places = {
            (block, i): (block, tile.image, *self._places([*tile.outer, tile.column + i]), 0)
            for block in tile.blocks
            for i in range(tile.size)
        }
        for index in places.values():
            self.sink.prefetch(index)
        self._reduce(tile, sums)
        for column, block in enumerate(tile.blocks):
            bias = kernel.bind(kernel.load(self.operands.bias, (block, 0), lanes))
            for i in range(tile.size):
                self.sink(sums.total(column, i) + bias, places[block, i])

    def _places(self, pixel: list[Expr]) -> list[Expr]:
        """Where an output pixel is stored."""
        if not self.conv.steps:
            return pixel
        axes = zip(pixel, self.conv.steps, self.conv.begins, strict=True)
        return [position * step + begin for position, step, begin in axes]

    def _reduce(self, tile: _Tile, sums: Sums) -> None:
        """A piece of the sums is some blocks, or one row of taps where these make a block large."""
        kernel, window = self.kernel, self.conv.window
        per_block = self.conv.inner(kernel.lanes)
        for run in runs(self.conv.in_channels, per_block):
            steps = run.size * prod(window.kernel)
            by_rows = sums.are_pieces(steps)
            for cut in sums.pieces(run.count, steps):
                with ExitStack() as loops:
                    number = loops.enter_context(kernel.loop(cut.count, name="co"))
                    if not by_rows:
                        loops.enter_context(sums.piece())
                    near = loops.enter_context(kernel.loop(cut.size, name="c"))
                    block = run.begin // per_block + cut.begin + number * cut.size + near
                    taps = []
                    for axis, position in enumerate(tile.outer):
                        first, end = window.taps(axis, position)
                        taps.append(loops.enter_context(kernel.loop(end - first, begin=first, name="r")))
                    if by_rows:
                        loops.enter_context(sums.piece())
                    self._row(tile, sums, block, run.size, taps)

    def _row(self, tile: _Tile, sums: Sums, block: Expr, channels: int, taps: list[Expr]) -> None:
        kernel, window = self.kernel, self.conv.window
        pixels = range(tile.size)
        if self.conv.inner(kernel.lanes) > 1:
            self._ask_for_next(tile, block, taps)
        if tile.interior:
            with kernel.loop(window.kernel[-1], name="s") as s, kernel.loop(channels, name="ci") as c:
                self._step(tile, sums, pixels, block, [*taps, s], c)
            return
        for s in range(window.kernel[-1]):
            inside = [i for i in pixels if window.inside(-1, tile.column + i, s)]
            if inside:
                with kernel.loop(channels, name="ci") as c:
                    self._step(tile, sums, inside, block, [*taps, s], c)

    def _ask_for_next(self, tile: _Tile, block: Expr, taps: list[Expr]) -> None:
        """Prefetches the same row of the next block, or after the last one of the next tile's first block: a
        few lines each in another page, which no processor foresees."""
        kernel, window = self.kernel, self.conv.window
        blocks = -(-self.conv.in_channels // kernel.lanes)
        channel, _ = self._channel(tile.group, (block + 1) % blocks, 0)
        first = tile.column + (block + 1) // blocks * tile.size
        rows = [window.source(axis, position, taps[axis]) for axis, position in enumerate(tile.outer)]
        step = window.strides[-1] if window.kernel[-1] == 1 else 1
        for i in range(
            0, (tile.size - 1) * window.strides[-1] + 1, max(step, kernel.machine.line // kernel.lanes)
        ):
            index = (channel, tile.image, *rows, window.source(-1, first, 0) + i, 0)
            kernel.prefetch(self.operands.data, index)

    def _step(
        self, tile: _Tile, sums: Sums, pixels: Sequence[int], block: Expr, taps: list[Expr], c: Expr
    ) -> None:
        """One channel's and one tap's share in the sums of `pixels`."""
        kernel, window = self.kernel, self.conv.window
        lanes = kernel.lanes
        weights = [
            kernel.bind(kernel.load(self.operands.weight, (out, block, *taps, c, 0), lanes))
            for out in tile.blocks
        ]
        rows = [window.source(axis, position, taps[axis]) for axis, position in enumerate(tile.outer)]
        channel, inner = self._channel(tile.group, block, c)
        place = (channel, tile.image) if self.conv.blocked else (tile.image, channel)
        for i in pixels:
            column = window.source(-1, tile.column + i, taps[-1])
            index = (*place, *rows, column, *inner)
            value = kernel.bind(splat(kernel.load(self.operands.data, index), lanes))
            for j, weight in enumerate(weights):
                sums.add(j, i, value, weight)

    def _channel(self, group: Expr, block: Expr, c: Expr) -> tuple[Expr, tuple[Expr, ...]]:
        """An input channel of a set as an index before, and one behind, the spatial ones."""
        conv, lanes = self.conv, self.kernel.lanes
        first = conv.first_channel(group, lanes)
        if conv.inner(lanes) > 1:
            return first // lanes + block, (c,)
        if not conv.blocked:
            return first + block, ()
        return (first + block) // lanes, ((first + block) % lanes,)
