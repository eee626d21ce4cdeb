"""The operations that the passes know. Everything else is Foreign, and left to TVM."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Ints = tuple[int, ...]


@dataclass(frozen=True)
class Pointwise:
    """Each element from the same element of the inputs, which broadcast as in numpy.

    `name` is a key of `network.arithmetic.FUNCTIONS`, `parameters` its further arguments.
    """

    name: str
    parameters: tuple[float, ...] = ()


@dataclass(frozen=True)
class Reduce:
    """Over `axes`, which stay with extent 1. `kind`: sum, max, min or prod."""

    kind: str
    axes: Ints


@dataclass(frozen=True)
class Convolve:
    """Data [N, C, *spatial], weight [K, C/groups, *kernel], bias [K], to [N, K, *spatial]."""

    strides: Ints
    pads: Ints
    """Before the first pixel; after the last one as much as the output's shape needs."""
    dilations: Ints
    groups: int


@dataclass(frozen=True)
class Deconvolve:
    """A transposed convolution: data [N, C, *spatial], weight [C, K/groups, *kernel], bias [K]. Every input
    pixel adds the kernel times itself to the output, `strides` apart; `pads` are cut off in front."""

    strides: Ints
    pads: Ints
    dilations: Ints
    groups: int


@dataclass(frozen=True)
class Resample:
    """Data [N, C, *spatial], and for each spatial axis the places [taps, size] (int32) and weights [taps,
    size] of the input pixels whose weighted sum an output pixel is."""


@dataclass(frozen=True)
class Pool:
    """Data [N, C, *spatial]. An average counts the pixels inside, or all within `counted`, the spatial
    extents of input with padding, from pixel -pads on."""

    kind: Literal["max", "avg"]
    kernel: Ints
    strides: Ints
    pads: Ints
    dilations: Ints
    counted: Ints | None = None


@dataclass(frozen=True)
class ChannelAverage:
    """Data [N, C, ...]: the sum over `size` channels around each one, divided by `size`."""

    size: int


@dataclass(frozen=True)
class ChannelShuffle:
    """Data [N, C, ...]: channel i * groups + g is channel g * C / groups + i of the input."""

    groups: int


PACKED = ("packed",)
"""Instead of axes: the operand is a constant, packed as [N/v, K, v]."""


@dataclass(frozen=True)
class Matmul:
    """[..., M, K] times [..., K, N]; leading dimensions broadcast.

    `left`, `right`: the axes of the stored operands in the order in which the product takes them.
    `output`: the axes of the product in the order in which they are stored. None: as they are.
    """

    left: Ints | None = None
    right: Any = None
    output: Ints | None = None


@dataclass(frozen=True)
class Reshape:
    """The same elements in the same order under the output's shape."""


@dataclass(frozen=True)
class Transpose:
    axes: Ints


@dataclass(frozen=True)
class Broadcast:
    """Repetition to the output's shape, as in numpy."""


@dataclass(frozen=True)
class Concat:
    axis: int


@dataclass(frozen=True)
class Slice:
    """Every `strides`-th element from `begins` on, as many as the output has."""

    begins: Ints
    strides: Ints


@dataclass(frozen=True)
class Part:
    """From `begin` on as many of the first axis as the output has: the same memory, as all that is joined."""

    begin: int


@dataclass(frozen=True)
class Join:
    """The inputs one after the other along the first axis: each is written where it belongs in the output."""


@dataclass(frozen=True)
class Pad:
    """`before` elements of `value` in front of each axis, after it as many as the output has."""

    before: Ints
    value: float


@dataclass(frozen=True)
class Gather:
    """Data and indices (int32 or int64, in range) along an axis that is not the last: numpy.take."""

    axis: int


@dataclass(frozen=True, eq=False)
class Foreign:
    """A Relax call of `arguments`; the node's inputs are the tensors among these, in order."""

    call: Any
    arguments: Sequence[Any]
