"""Sliding windows in CUDA C: which input a convolution or pooling finds under each tap of its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from converters.schedules.cuda.code import Code

# Windows of more taps are walked through in loops.
UNROLLED = 64


@dataclass(frozen=True)
class Window:
    """The spatial part of a convolution or pooling, one entry an axis. `pads`: before the first pixel.

    `transposed`: the input is spread out, `strides` apart, and every output looks back at what reached it.
    """

    input: tuple[int, ...]
    output: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads: tuple[int, ...]
    transposed: bool = False

    @property
    def rank(self) -> int:
        return len(self.input)

    @property
    def is_pointwise(self) -> bool:
        """Whether an output pixel depends on the input pixel of the same number alone."""
        return prod(self.kernel) == 1 and prod(self.strides) == 1 and self.input == self.output

    def origin(self, axis: int, position: str) -> str:
        """The input position under the first tap of the window at output `position`; where it is transposed,
        inputs are `strides` positions apart."""
        stride, pad = self.strides[axis], self.pads[axis]
        if self.transposed:
            return f"{position} + {pad}"
        at = position if stride == 1 else f"{position} * {stride}"
        return at + (f" - {pad}" if pad else "")

    def place(self, axis: int, position: str, tap: str) -> str:
        """The input position under a tap of the window at output `position`; not for transposed ones."""
        dilation = self.dilations[axis]
        return f"{self.origin(axis, position)} + {tap if dilation == 1 else f'{tap} * {dilation}'}"

    def overhangs(self, axis: int) -> bool:
        """Whether there are taps outside of the input; not for transposed ones."""
        reach = (self.kernel[axis] - 1) * self.dilations[axis]
        last = (self.output[axis] - 1) * self.strides[axis] - self.pads[axis] + reach
        return self.pads[axis] > 0 or last >= self.input[axis]

    def open_taps(self, code: Code, position: Sequence[str]) -> int:
        """Opens loops over the taps t0, t1, ... whose inputs s0, s1, ... are inside; how many braces."""
        assert not self.transposed
        for axis, kernel in enumerate(self.kernel):
            unroll = "EACH " if prod(self.kernel) <= UNROLLED or axis == self.rank - 1 else ""
            code.add(f"{unroll}for (int t{axis} = 0; t{axis} < {kernel}; ++t{axis}) {{")
            code.add(f"const int s{axis} = {self.place(axis, position[axis], f't{axis}')};")
            code.add(f"if ((unsigned)s{axis} >= {self.input[axis]}u) continue;")
        return self.rank
