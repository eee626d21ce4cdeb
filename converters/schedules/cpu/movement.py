"""Transpositions, into and out of blocks among them: what is contiguous changes, a tile at a time."""

from __future__ import annotations

from contextlib import ExitStack

from tvm import tirx

from converters.schedules.cpu.elements import Operand
from converters.schedules.cpu.kernel import Buffer, Expr, Kernel, Sink, splat
from converters.schedules.cpu.shuffles import transposed
from converters.schedules.cpu.tiles import runs

Shape = tuple[int, ...]


def emit_view(kernel: Kernel, shape: Shape, source: Operand, sink: Sink) -> None:
    """Hands the sink every element of `shape`, vectors along the last axis of what `source` has there."""
    last = len(shape) - 1
    near = [axis for axis in range(last) if source.strides[axis] == 1 and shape[axis] > 1]
    if source.strides[last] <= 1 or not near or shape[last] < 2:
        _copy(kernel, shape, source, sink)
    else:
        _swap(kernel, shape, near[-1], source, sink)


def _copy(kernel: Kernel, shape: Shape, source: Operand, sink: Sink) -> None:
    lanes = kernel.lanes
    with kernel.nest(shape[:-1], "i" * len(shape[:-1]), well=True) as outer:
        for run in runs(shape[-1], lanes):
            with kernel.nest((run.count,), "v") as (number,):
                index = (*outer, run.begin + number * lanes)
                sink(source.load(kernel, index, lanes, run.size), index, run.size)


def _swap(kernel: Kernel, shape: Shape, near: int, source: Operand, sink: Sink) -> None:
    """`near`: the axis along which the source is contiguous."""
    lanes = kernel.lanes
    nothing = splat(0, lanes, str(source.buffer.dtype))
    strides = list(source.strides)
    strides[near], strides[-1] = strides[-1], strides[near]
    turned = Operand(source.buffer, tuple(strides), source.begin)
    others = [axis for axis in range(len(shape) - 1) if axis != near]
    with kernel.nest([shape[axis] for axis in others], "i" * len(others), well=True) as positions:
        index: list[Expr] = [0] * len(shape)
        for axis, position in zip(others, positions, strict=True):
            index[axis] = position
        for across in runs(shape[-1], lanes):
            for along in runs(shape[near], lanes):
                with kernel.nest((across.count, along.count), "rs") as (r, s):
                    row, column = across.begin + r * lanes, along.begin + s * lanes
                    vectors = []
                    for i in range(lanes):
                        index[near], index[-1] = row + i, column
                        value = turned.load(kernel, index, lanes, along.size) if i < across.size else None
                        vectors.append(nothing if value is None else kernel.bind(value))
                    for j, vector in enumerate(transposed(kernel, vectors)[: along.size]):
                        index[near], index[-1] = column + j, row
                        sink(vector, tuple(index), across.size)


def emit_gather(kernel: Kernel, axis: int, data: Buffer, indices: Buffer, sink: Sink) -> None:
    """numpy.take along an axis that is not the last."""
    lanes = kernel.lanes
    shape = [int(dim) for dim in data.shape]
    with ExitStack() as loops:
        outer = [loops.enter_context(kernel.loop(extent, name="i")) for extent in shape[:axis]]
        places = [loops.enter_context(kernel.loop(int(dim), name="j")) for dim in indices.shape]
        source = kernel.bind(tirx.Cast("int32", kernel.load(indices, places)))
        inner = [loops.enter_context(kernel.loop(extent, name="k")) for extent in shape[axis + 1 : -1]]
        for run in runs(shape[-1], lanes):
            with kernel.loop(run.count, name="v") as number:
                last = run.begin + number * lanes
                value = kernel.load(data, (*outer, source, *inner, last), lanes, run.size)
                sink(value, (*outer, *places, *inner, last), run.size)
