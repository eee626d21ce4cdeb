"""Operations whose elements are the input's, elsewhere: what is read for each part of the output.

A view says for a part of the output, as a box of elements, where each element lies in an input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from converters.schedules.network import ops
from converters.schedules.network.layout import Block, Unblock

Shape = tuple[int, ...]


@dataclass(frozen=True)
class View:
    """The box of `shape` at `origin` in the output is read from input number `source`: its first element
    at `begin`, and `strides` between neighbours. `split`: an axis of the output that the box has as two,
    with the extent of the inner one; `origin` counts as the output does.
    """

    shape: Shape
    origin: Shape
    source: int
    strides: Shape
    begin: int = 0
    split: tuple[int, int] | None = None


def contiguous(shape: Shape) -> Shape:
    return tuple(prod(shape[axis + 1 :]) for axis in range(len(shape)))


def views_of(op: object, inputs: Sequence[Shape], output: Shape, lanes: int) -> list[View] | None:
    """The views that make up the output; None if the operation computes something."""
    origin = (0,) * len(output)
    steps = contiguous(inputs[0])
    match op:
        case ops.Transpose(axes):
            return [View(output, origin, 0, tuple(steps[axis] for axis in axes))]
        case ops.Broadcast():
            aligned = (1,) * (len(output) - len(inputs[0])) + inputs[0]
            return [
                View(
                    output,
                    origin,
                    0,
                    tuple(0 if n == 1 else s for n, s in zip(aligned, contiguous(aligned), strict=True)),
                )
            ]
        case ops.Slice(begins, strides):
            begin = sum(b * s for b, s in zip(begins, steps, strict=True))
            return [View(output, origin, 0, tuple(k * s for k, s in zip(strides, steps, strict=True)), begin)]
        case ops.Concat(axis):
            return _concat(axis, inputs)
        case Block(channels_last):
            return _block(inputs[0], output, lanes, channels_last)
        case Unblock(channels_last):
            return _unblock(inputs[0], output, lanes, channels_last)
    return None


def _concat(axis: int, inputs: Sequence[Shape]) -> list[View]:
    views = []
    position = 0
    for number, shape in enumerate(inputs):
        origin = tuple(position if i == axis else 0 for i in range(len(shape)))
        views.append(View(shape, origin, number, contiguous(shape)))
        position += shape[axis]
    return views


def _block(plain: Shape, output: Shape, lanes: int, channels_last: bool) -> list[View]:
    """The whole blocks, and the one that is not full."""
    _, batch, *spatial, _ = output
    pixels = prod(spatial)
    inner = contiguous(tuple(spatial))
    if channels_last:
        channels = plain[-1]
        strides = (lanes, pixels * channels, *(step * channels for step in inner), 1)
    else:
        channels = plain[1]
        strides = (lanes * pixels, pixels * channels, *inner, pixels)
    whole, rest = divmod(channels, lanes)
    views = []
    if whole:
        views.append(View((whole, batch, *spatial, lanes), (0,) * len(output), 0, strides))
    if rest:
        origin = (whole, 0, *[0] * (len(spatial) + 1))
        views.append(View((1, batch, *spatial, rest), origin, 0, strides, whole * strides[0]))
    return views


def _unblock(blocked: Shape, output: Shape, lanes: int, channels_last: bool) -> list[View]:
    _, batch, *spatial, _ = blocked
    pixels = prod(spatial)
    inner = tuple(step * lanes for step in contiguous(tuple(spatial)))
    axis = len(output) - 1 if channels_last else 1
    channels = output[axis]
    whole, rest = divmod(channels, lanes)
    views = []
    for count, size, first in ((whole, lanes, 0), (1, rest, whole)):
        if not count or not size:
            continue
        box, steps = (count, size), (batch * pixels * lanes, 1)
        if channels_last:
            shape, strides = (batch, *spatial, *box), (pixels * lanes, *inner, *steps)
        else:
            shape, strides = (batch, *box, *spatial), (pixels * lanes, *steps, *inner)
        origin = tuple(first * lanes if i == axis else 0 for i in range(len(output)))
        views.append(View(shape, origin, 0, strides, first * batch * pixels * lanes, (axis, lanes)))
    return views
