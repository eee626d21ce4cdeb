"""Convolutions and poolings."""

from __future__ import annotations

from functools import partial
from typing import Literal

from converters.schedules.network import ops
from converters.schedules.network.builder import Builder
from converters.schedules.network.graph import Tensor
from converters.schedules.network.operators.arguments import Arguments, Translation

DATA = ("NCW", "NCHW", "NCDHW")
KERNEL = ("OIW", "OIHW", "OIDHW")
DECONVOLUTION_KERNEL = ("IOW", "IOHW", "IODHW")


def _convolve(builder: Builder, call: Arguments) -> Tensor | None:
    data, weight = call.inputs
    attrs = call.attrs
    spatial = data.rank - 2
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout))
    usual = (DATA[spatial - 1], KERNEL[spatial - 1], DATA[spatial - 1])
    if layouts != usual or not call.is_float() or weight.data is None:
        return None
    op = ops.Convolve(
        call.ints("strides"), call.ints("padding")[:spatial], call.ints("dilation"), int(attrs.groups)
    )
    return builder.emit(op, [data, weight], call.output.shape)


def _deconvolve(builder: Builder, call: Arguments) -> Tensor | None:
    data, weight = call.inputs
    attrs = call.attrs
    spatial = data.rank - 2
    layouts = (str(attrs.data_layout), str(attrs.kernel_layout), str(attrs.out_layout))
    usual = (DATA[spatial - 1], DECONVOLUTION_KERNEL[spatial - 1], DATA[spatial - 1])
    strides, dilations = call.ints("strides"), call.ints("dilation")
    if layouts != usual or not call.is_float() or weight.data is None:
        return None
    if any(stride > 1 and dilation > 1 for stride, dilation in zip(strides, dilations, strict=True)):
        return None
    op = ops.Deconvolve(strides, call.ints("padding")[:spatial], dilations, int(attrs.groups))
    return builder.emit(op, [data, weight], call.output.shape)


def _pool(kind: Literal["max", "avg"], builder: Builder, call: Arguments) -> Tensor | None:
    (data,) = call.inputs
    attrs = call.attrs
    spatial = data.rank - 2
    if str(attrs.layout) != DATA[spatial - 1] or str(attrs.out_layout) != DATA[spatial - 1]:
        return None
    kernel, padding = call.ints("pool_size"), call.ints("padding")
    if not call.is_float() or any(pad >= size for pad, size in zip(padding, kernel * 2, strict=True)):
        return None
    whole = (
        kernel == data.shape[2:] and not any(padding) and call.output.size == data.shape[0] * data.shape[1]
    )
    if whole:
        axes = range(2, data.rank)
        return builder.mean(data, axes) if kind == "avg" else builder.reduce("max", data, axes)
    counted = None
    if kind == "avg" and bool(attrs.count_include_pad):
        extents = zip(data.shape[2:], padding[:spatial], padding[spatial:], strict=True)
        counted = tuple(size + before + after for size, before, after in extents)
    op = ops.Pool(kind, kernel, call.ints("strides"), padding[:spatial], call.ints("dilation"), counted)
    return builder.emit(op, [data], call.output.shape)


TRANSLATIONS: dict[str, Translation] = {
    **{f"nn.conv{rank}d": _convolve for rank in (1, 2, 3)},
    **{f"nn.conv{rank}d_transpose": _deconvolve for rank in (1, 2, 3)},
    **{f"nn.max_pool{rank}d": partial(_pool, "max") for rank in (1, 2, 3)},
    **{f"nn.avg_pool{rank}d": partial(_pool, "avg") for rank in (1, 2, 3)},
}
