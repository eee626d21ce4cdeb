"""Channel operations that importers spell with other operations, and padding before convolutions."""

from __future__ import annotations

from converters.schedules.network import ops
from converters.schedules.network.graph import Tensor
from converters.schedules.network.simplify import Simplifier


def channel_shuffle(
    to: Simplifier, op: ops.Reshape, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """Channels split into groups, transposed, and joined again."""
    turned = to.made_by(inputs[0], ops.Transpose)
    split = to.made_by(turned.inputs[0], ops.Reshape) if turned is not None else None
    if turned is None or split is None or split.inputs[0].shape != like.shape or like.rank < 3:
        return None
    batch, groups, per_group, *spatial = split.output.shape
    if turned.op.axes != (0, 2, 1, *range(3, len(turned.op.axes))):
        return None
    if (batch, groups * per_group, *spatial) != like.shape:
        return None
    return to.emit(ops.ChannelShuffle(groups), split.inputs, like.shape)


def channel_average(
    to: Simplifier, op: ops.Reshape, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """An average pooling of channels: they were made a spatial axis for it."""
    pool = to.made_by(inputs[0], ops.Pool)
    split = to.made_by(pool.inputs[0], ops.Reshape) if pool is not None else None
    if pool is None or split is None or split.inputs[0].shape != like.shape:
        return None
    if split.output.shape != (like.shape[0], 1, *like.shape[1:]) or pool.output.shape != split.output.shape:
        return None
    size, *others = pool.op.kernel
    one = (1,) * len(pool.op.kernel)
    same = (
        pool.op.strides == one
        and pool.op.dilations == one
        and pool.op.pads == (size // 2, *[0] * len(others))
    )
    if pool.op.kind != "avg" or not same or any(n != 1 for n in others) or size % 2 == 0:
        return None
    # Channels outside count as zeros: all `size` are divided by, or the border would differ.
    if pool.op.counted is None or pool.op.counted[0] < like.shape[1] + size - 1:
        return None
    return to.emit(ops.ChannelAverage(size), split.inputs, like.shape)


def convolve_of_pad(
    to: Simplifier, op: ops.Convolve, inputs: tuple[Tensor, ...], like: Tensor
) -> Tensor | None:
    """Zeros around the image are what a convolution pads with."""
    node = to.made_by(inputs[0], ops.Pad)
    if node is None or node.op.value != 0 or any(node.op.before[:2]):
        return None
    (data,) = node.inputs
    if data.shape[:2] != inputs[0].shape[:2]:
        return None
    pads = tuple(p + q for p, q in zip(op.pads, node.op.before[2:], strict=True))
    wider = ops.Convolve(op.strides, pads, op.dilations, op.groups)
    return to.emit(wider, [data, *inputs[1:]], like.shape)
