"""The rules of `network.simplify`, by the operation they look at; the first that applies is taken."""

from __future__ import annotations

from typing import Any

from converters.schedules.network import ops
from converters.schedules.network.rules import constants, movement, windows
from converters.schedules.network.simplify import Rule

RULES: dict[type[Any], tuple[Rule, ...]] = {
    ops.Pointwise: (
        constants.all_known,
        movement.without_broadcast,
        constants.normal_order,
        constants.neutral,
        constants.into_convolution,
        constants.into_matmul,
        constants.merge_affine,
        movement.pointwise_before_reshape,
    ),
    ops.Reduce: (movement.reduce_of_stack,),
    ops.Reshape: (windows.channel_shuffle, windows.channel_average, movement.reshape_of_reshape),
    ops.Transpose: (movement.transpose_of_transpose, movement.transpose_of_matmul),
    ops.Matmul: (movement.matmul_of_transpose,),
    ops.Convolve: (windows.convolve_of_pad,),
}
