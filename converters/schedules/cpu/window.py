"""Sliding windows: which input a convolution or pooling finds under each tap of its kernel."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from converters.schedules.cpu.kernel import Expr, maximum, minimum
from converters.schedules.cpu.tiles import Run


@dataclass(frozen=True)
class Window:
    """The spatial part of a convolution or pooling, one entry an axis. `pads`: before the first pixel.

    The last axis is the one along which pixels are tiled, so its edges are known when code is written; on
    the axes before it the taps outside the image are skipped by the bounds of a loop.
    """

    input: tuple[int, ...]
    output: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]

    @property
    def is_pointwise(self) -> bool:
        """Whether an output pixel depends on the input pixel of the same number alone."""
        return prod(self.kernel) == 1 and prod(self.strides) == 1 and self.input == self.output

    def flattened(self, images: int) -> Window:
        """The same as one row of the pixels of all images, for a pointwise window."""
        assert self.is_pointwise
        pixels = (*[1] * (len(self.input) - 1), images * prod(self.input))
        ones = (1,) * len(self.input)
        return Window(pixels, pixels, ones, ones, ones, self.pads)

    def source(self, axis: int, position: Expr, tap: Expr) -> Expr:
        """The input position under `tap` of the window at output `position`."""
        return position * self.strides[axis] + tap * self.dilations[axis] - self.pads[axis]

    def inside(self, axis: int, position: int, tap: int) -> bool:
        return 0 <= int(self.source(axis, position, tap)) < self.input[axis]

    def taps(self, axis: int, position: Expr) -> tuple[Expr, Expr]:
        """The range [first, end) of taps that are inside at output `position`."""
        stride, dilation, pad = self.strides[axis], self.dilations[axis], self.pads[axis]
        size, kernel = self.input[axis], self.kernel[axis]
        first: Expr = 0
        end: Expr = kernel
        if pad > 0:
            first = maximum(0, (pad - position * stride + dilation - 1) // dilation)
        if (self.output[axis] - 1) * stride + (kernel - 1) * dilation - pad >= size:
            end = minimum(kernel, (size + pad - position * stride + dilation - 1) // dilation)
        return first, end

    def interior(self, begin: int, size: int) -> bool:
        """Whether, on the last axis, every tap of the `size` windows from `begin` on is inside."""
        return self.inside(-1, begin, 0) and self.inside(-1, begin + size - 1, self.kernel[-1] - 1)

    def classify(self, cut: tuple[Run, ...]) -> list[tuple[Run, bool]]:
        """Tiles along the last axis with whether they are interior; a tile that is not stands alone."""
        classified: list[tuple[Run, bool]] = []
        for run in cut:
            flags = [self.interior(run.begin + i * run.size, run.size) for i in range(run.count)]
            position = 0
            while position < run.count:
                end = position + 1
                while flags[position] and end < run.count and flags[end]:
                    end += 1
                begin = run.begin + position * run.size
                classified.append((Run(begin, run.size, end - position), flags[position]))
                position = end
        return classified
