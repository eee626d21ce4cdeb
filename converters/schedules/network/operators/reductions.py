"""Reductions, products, and the normalisations made of them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from converters.schedules.network import ops
from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Tensor
from converters.schedules.network.operators.arguments import Arguments, Translation


def _reduce(kind: str, builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    if not call.is_float():
        return None
    axes = call.ints("axis") or tuple(range(data.rank))
    result = builder.mean(data, axes) if kind == "mean" else builder.reduce(kind, data, axes)
    return builder.reshape(result, call.output.shape)


def _variance(builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    if not call.is_float():
        return None
    axes = call.ints("axis") or tuple(range(data.rank))
    return builder.reshape(_mean_square(builder, _centred(builder, data, axes), axes), call.output.shape)


def _softmax(builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    if not call.is_float():
        return None
    axes = [int(call.attrs.axis)]
    powers = builder.pointwise("exp", builder.pointwise("subtract", data, builder.reduce("max", data, axes)))
    return builder.pointwise("divide", powers, builder.reduce("sum", powers, axes))


def _log_softmax(builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    if not call.is_float():
        return None
    axes = [int(call.attrs.axis)]
    shifted = builder.pointwise("subtract", data, builder.reduce("max", data, axes))
    total = builder.reduce("sum", builder.pointwise("exp", shifted), axes)
    return builder.pointwise("subtract", shifted, builder.pointwise("log", total))


def _centred(builder: Builder, data: Tensor, axes: Sequence[int]) -> Tensor:
    return builder.pointwise("subtract", data, builder.mean(data, axes))


def _mean_square(builder: Builder, data: Tensor, axes: Sequence[int]) -> Tensor:
    return builder.mean(builder.pointwise("square", data), axes)


def _standardize(builder: Builder, data: Tensor, axes: Sequence[int], epsilon: float) -> Tensor:
    """(data - mean) / sqrt(variance + epsilon)"""
    centred = _centred(builder, data, axes)
    variance = _mean_square(builder, centred, axes)
    scale = builder.pointwise("rsqrt", builder.pointwise("add", variance, epsilon))
    return builder.pointwise("multiply", centred, scale)


def _affine(builder: Builder, data: Tensor, scale: Tensor | None, shift: Tensor | None) -> Tensor:
    if scale is not None:
        data = builder.pointwise("multiply", data, scale)
    return data if shift is None else builder.pointwise("add", data, shift)


def _layer_norm(builder: Builder, call: Arguments) -> Tensor | None:
    data, *rest = call.inputs
    if not call.is_float():
        return None
    axes = [axis % data.rank for axis in call.ints("axes")]
    shape = tuple(data.shape[axis] if axis in axes else 1 for axis in range(data.rank))
    scale = builder.reshape(rest[0], shape) if call.attrs.scale else None
    shift = builder.reshape(rest[1], shape) if call.attrs.center else None
    return _affine(builder, _standardize(builder, data, axes, float(call.attrs.epsilon)), scale, shift)


def _rms_norm(builder: Builder, call: Arguments) -> Tensor | None:
    data, scale = call.inputs
    if not call.is_float():
        return None
    axes = [axis % data.rank for axis in call.ints("axes")]
    shape = tuple(data.shape[axis] if axis in axes else 1 for axis in range(data.rank))
    mean = _mean_square(builder, data, axes)
    norm = builder.pointwise("rsqrt", builder.pointwise("add", mean, float(call.attrs.epsilon)))
    return builder.pointwise(
        "multiply", builder.pointwise("multiply", data, norm), builder.reshape(scale, shape)
    )


def _group_norm(builder: Builder, call: Arguments) -> Tensor | None:
    data, gamma, beta = call.inputs
    attrs = call.attrs
    axes = tuple(axis % data.rank for axis in call.ints("axes"))
    axis, groups = int(attrs.channel_axis) % data.rank, int(attrs.num_groups)
    if not call.is_float() or axis != 1 or sorted(axes) != list(range(2, data.rank)):
        return None
    channels = data.shape[1] // groups
    split = (data.shape[0], groups, channels, *data.shape[2:])
    parameters = (1, groups, channels, *[1] * (data.rank - 2))
    standard = _standardize(
        builder, builder.reshape(data, split), range(2, data.rank + 1), float(attrs.epsilon)
    )
    scale = builder.reshape(gamma, parameters) if attrs.scale else None
    shift = builder.reshape(beta, parameters) if attrs.center else None
    return builder.reshape(_affine(builder, standard, scale, shift), data.shape)


def _batch_norm(builder: Builder, call: Arguments) -> tuple[Tensor, ...] | None:
    """Inference only, so the running statistics are results that stay what they were."""
    data, gamma, beta, mean, variance = call.inputs
    attrs = call.attrs
    if not call.is_float() or bool(attrs.training):
        return None
    axis = int(attrs.axis) % data.rank
    shape = tuple(gamma.size if i == axis else 1 for i in range(data.rank))
    scale = builder.pointwise("rsqrt", builder.pointwise("add", variance, float(attrs.epsilon)))
    if attrs.scale:
        scale = builder.pointwise("multiply", scale, gamma)
    shift = builder.pointwise("negative", builder.pointwise("multiply", mean, scale))
    if attrs.center:
        shift = builder.pointwise("add", shift, beta)
    result = _affine(builder, data, builder.reshape(scale, shape), builder.reshape(shift, shape))
    return result, mean, variance


def _matmul(builder: Builder, call: Arguments) -> Tensor | None:
    left, right = call.inputs
    if not call.is_float():
        return None
    if left.rank == 1:
        left = builder.reshape(left, (1, left.size))
    if right.rank == 1:
        right = builder.reshape(right, (right.size, 1))
    batch = call.output.shape[: max(left.rank, right.rank) - 2]
    result = builder.emit(ops.Matmul(), [left, right], (*batch, left.shape[-2], right.shape[-1]))
    return builder.reshape(result, call.output.shape)


TRANSLATIONS: dict[str, Translation] = {
    **{kind: partial(_reduce, kind) for kind in ("sum", "max", "min", "prod", "mean")},
    "variance": _variance,
    "nn.softmax": _softmax,
    "nn.log_softmax": _log_softmax,
    "nn.layer_norm": _layer_norm,
    "nn.rms_norm": _rms_norm,
    "nn.group_norm": _group_norm,
    "nn.batch_norm": _batch_norm,
    "matmul": _matmul,
}
