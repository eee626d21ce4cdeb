"""Operators on single elements."""

from __future__ import annotations

from functools import partial

from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Tensor
from converters.schedules.network.operators.arguments import Arguments, Translation

# By Relax's name: the name in network.arithmetic.
DIRECT = {
    "add": "add",
    "subtract": "subtract",
    "multiply": "multiply",
    "divide": "divide",
    "power": "power",
    "maximum": "maximum",
    "minimum": "minimum",
    "nn.relu": "relu",
    "negative": "negative",
    "abs": "abs",
    "exp": "exp",
    "log": "log",
    "sqrt": "sqrt",
    "rsqrt": "rsqrt",
    "square": "square",
    "floor": "floor",
    "ceil": "ceil",
    "erf": "erf",
    "tanh": "tanh",
    "sigmoid": "sigmoid",
    "nn.silu": "silu",
    "nn.gelu": "gelu",
    "nn.gelu_tanh": "gelu_tanh",
}


def _direct(name: str, builder: Builder, call: Arguments) -> Tensor | None:
    return builder.pointwise(name, *call.inputs) if call.is_float() else None


def _relu6(builder: Builder, call: Arguments) -> Tensor | None:
    return builder.pointwise("clip", call.inputs[0], parameters=(0.0, 6.0)) if call.is_float() else None


def _clip(builder: Builder, call: Arguments) -> Tensor | None:
    low, high = call.number(1), call.number(2)
    if not call.is_float() or low is None or high is None:
        return None
    return builder.pointwise("clip", call.inputs[0], parameters=(low, high))


def _leaky(builder: Builder, call: Arguments) -> Tensor | None:
    slope = (float(call.attrs.alpha),)
    return builder.pointwise("leaky", call.inputs[0], parameters=slope) if call.is_float() else None


def _prelu(builder: Builder, call: Arguments) -> Tensor | None:
    data, slope = call.inputs
    if not call.is_float():
        return None
    axis = int(call.attrs.axis) % data.rank
    shape = tuple(slope.size if i == axis else 1 for i in range(data.rank))
    return builder.pointwise("prelu", data, builder.reshape(slope, shape))


TRANSLATIONS: dict[str, Translation] = {
    **{theirs: partial(_direct, ours) for theirs, ours in DIRECT.items()},
    "nn.relu6": _relu6,
    "clip": _clip,
    "nn.leakyrelu": _leaky,
    "nn.prelu": _prelu,
}
