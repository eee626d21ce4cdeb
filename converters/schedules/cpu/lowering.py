"""From a fused operation on tensors of known shapes to its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from converters.schedules.cpu import (
    channels,
    convolution,
    depthwise,
    matmul,
    movement,
    padding,
    pooling,
    resampling,
    rows,
    winograd,
)
from converters.schedules.cpu.convolution import Convolution, Deconvolution, Operands
from converters.schedules.cpu.depthwise import Depthwise
from converters.schedules.cpu.elements import Loops, Operand, collapse, strides_of
from converters.schedules.cpu.epilogue import Epilogue
from converters.schedules.cpu.kernel import Buffer, Kernel
from converters.schedules.cpu.matmul import Product
from converters.schedules.cpu.pooling import Pooling
from converters.schedules.cpu.resampling import Resampling
from converters.schedules.cpu.views import View, views_of
from converters.schedules.cpu.winograd import Winograd
from converters.schedules.machine import Machine
from converters.schedules.network import ops
from converters.schedules.network.graph import Tensor
from converters.schedules.network.layout import Block, BlockedAverage, BlockedShuffle, Unblock
from converters.schedules.network.program import Fused
from converters.schedules.network.writer import Lowered

# Elements of all operands from which on a kernel takes longer than it takes to wake other threads for it.
WORTH_SHARING = 1 << 15

VIEWS = (ops.Transpose, ops.Broadcast, ops.Slice, ops.Concat, Block, Unblock)
ANCHORS = (
    *VIEWS,
    Convolution,
    Deconvolution,
    Winograd,
    Depthwise,
    Pooling,
    Resampling,
    BlockedAverage,
    BlockedShuffle,
    ops.Gather,
    ops.Matmul,
)


def is_anchor(op: object) -> bool:
    """Whether a kernel of this operation can go on with pointwise ones."""
    return isinstance(op, ANCHORS)


def lower(op: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor], machine: Machine) -> Lowered:
    """The kernel of a fused operation, or of one that fuses with nothing."""
    if sum(tensor.size for tensor in (*inputs, *outputs)) < WORTH_SHARING:
        machine = replace(machine, threads=1)
    kernel = Kernel(machine)
    sources = [kernel.parameter(tensor.shape, tensor.dtype, "in") for tensor in inputs]
    targets = [kernel.parameter(tensor.shape, tensor.dtype, "out") for tensor in outputs]
    if isinstance(op, ops.Pad):
        padding.emit(kernel, op, inputs[0].shape, outputs[0].shape, sources[0], targets[0])
        return Lowered(kernel.finish(), ())
    assert isinstance(op, Fused)
    return _Lowering(kernel, op, sources, targets).run()


class _Lowering:
    def __init__(self, kernel: Kernel, op: Fused, sources: list[Buffer], targets: list[Buffer]) -> None:
        self.kernel = kernel
        self.anchor = op.anchor
        self.program = op.program
        self.anchored = sources[: op.anchored]
        shapes = self.program.inputs[1 if op.anchor is not None else 0 :]
        whole = self.program.shape
        self.operands = [
            Operand(buffer, strides_of(shape, whole))
            for buffer, shape in zip(sources[op.anchored :], shapes, strict=True)
        ]
        reduced = self.program.is_reduced()
        kept = tuple(1 if i in self.program.axes else n for i, n in enumerate(whole))
        self.results = [
            Operand(buffer, strides_of(kept if reduced[result] else whole, whole))
            for buffer, result in zip(targets, self.program.results, strict=True)
        ]

    def run(self) -> Lowered:
        kernel, anchor = self.kernel, self.anchor
        scratch: tuple[int, ...] = ()
        if anchor is None:
            rows.emit(kernel, self.program, self.operands, self.results)
        elif isinstance(anchor, VIEWS):
            self._views()
        elif isinstance(anchor, ops.Matmul):
            scratch = self._matmul(anchor)
        else:
            scratch = self._others(Epilogue(kernel, self.program, self.operands, self.results))
        return Lowered(kernel.finish(), scratch)

    def _others(self, sink: Epilogue) -> tuple[int, ...]:
        kernel, shape = self.kernel, self.program.shape
        match self.anchor:
            case Convolution() as conv:
                convolution.emit(kernel, conv, Operands(*self.anchored), sink, flat=self._one_row())
            case Winograd() as conv:
                sizes = conv.scratch_sizes(kernel.machine)
                scratch = [kernel.parameter((size,), name="scratch") for size in sizes]
                winograd.emit(kernel, conv, Operands(*self.anchored), scratch, sink)
                return sizes
            case Deconvolution(phases):
                data, *weights, bias = self.anchored
                for phase, weight in zip(phases, weights, strict=True):
                    convolution.emit(kernel, phase, Operands(data, weight, bias), sink, flat=False)
            case Resampling(axes):
                resampling.emit(kernel, axes, shape, self.anchored[0], self.anchored[1:], sink)
            case Depthwise() as conv:
                depthwise.emit(kernel, conv, Operands(*self.anchored), sink)
            case Pooling() as pool:
                pooling.emit(kernel, pool, self.anchored[0], sink)
            case BlockedAverage(count, size):
                channels.emit_average(kernel, count, size, shape, self.anchored[0], sink)
            case BlockedShuffle(count, groups):
                channels.emit_shuffle(kernel, count, groups, shape, self.anchored[0], sink)
            case ops.Gather(axis):
                movement.emit_gather(kernel, axis, self.anchored[0], self.anchored[1], sink)
            case other:
                raise AssertionError(f"no kernel for {other}")
        return ()

    def _one_row(self) -> bool:
        """Whether every operand walks through images and their pixels as through one row."""
        shape = self.program.shape
        return all(
            operand.strides[axis] == operand.strides[axis + 1] * shape[axis + 1] or shape[axis] == 1
            for operand in (*self.operands, *self.results)
            for axis in range(1, len(shape) - 2)
        )

    def _views(self) -> None:
        shapes = [tuple(int(dim) for dim in buffer.shape) for buffer in self.anchored]
        views = views_of(self.anchor, shapes, self.program.shape, self.kernel.lanes)
        assert views is not None
        for view in views:
            source = Operand(self.anchored[view.source], view.strides, view.begin)
            operands = [self._within(operand, view) for operand in (*self.operands, *self.results)]
            loops = collapse(view.shape, [False] * len(view.shape), [o.strides for o in (source, *operands)])
            source, *operands = (
                replace(operand, strides=strides)
                for operand, strides in zip((source, *operands), loops.strides, strict=True)
            )
            split = len(self.operands)
            program = replace(self.program, shape=loops.extents)
            sink = Epilogue(self.kernel, program, operands[:split], operands[split:])
            movement.emit_view(self.kernel, loops.extents, source, sink)

    @staticmethod
    def _within(operand: Operand, view: View) -> Operand:
        """An operand of the whole output as seen from a view's box."""
        begin = operand.begin + sum(o * s for o, s in zip(view.origin, operand.strides, strict=True))
        strides = list(operand.strides)
        if view.split is not None:
            axis, inner = view.split
            strides[axis : axis + 1] = [strides[axis] * inner, strides[axis]]
        return Operand(operand.buffer, tuple(strides), begin)

    def _matmul(self, op: ops.Matmul) -> tuple[int, ...]:
        """Row axes that all operands walk through as one become one; then the last is tiled."""
        left, right = self.anchored
        shape = self.program.shape
        order = op.output or tuple(range(len(shape)))
        product_shape = tuple(shape[order.index(axis)] for axis in range(len(shape)))
        others = [
            Operand(o.buffer, tuple(o.strides[order.index(axis)] for axis in range(len(shape))))
            for o in (*self.operands, *self.results)
        ]
        *rows_shape, columns = product_shape
        left_strides = _matrix_strides(left, op.left, len(shape))
        depth = _depth(left, op.left)
        packed = len(right.shape) == 3 and op.right == ops.PACKED
        right_strides = (0,) * (len(shape) + 1) if packed else _matrix_strides(right, op.right, len(shape))
        right_rows = (*right_strides[:-2], 0)
        loops = collapse(
            tuple(rows_shape),
            [False] * len(rows_shape),
            [left_strides[:-1], right_rows, *(o.strides[:-1] for o in others)],
        )
        if loops.strides[1][-1]:  # matrices of one row, each with a right matrix of its own
            strides = tuple((*steps, 0) for steps in loops.strides)
            loops = Loops((*loops.extents, 1), (*loops.reduced, False), strides)
        operands = [
            Operand(o.buffer, (*strides, o.strides[-1]))
            for o, strides in zip(others, loops.strides[2:], strict=True)
        ]
        product = Product(loops.extents, depth, columns, packed)
        sizes = matmul.scratch_sizes(product, self.kernel.machine)
        scratch = [self.kernel.parameter((size,), name="scratch") for size in sizes]
        split = len(self.operands)
        program = replace(self.program, shape=(*loops.extents, columns))
        sink = Epilogue(self.kernel, program, operands[:split], operands[split:])
        matmul.emit(
            self.kernel,
            product,
            Operand(left, (*loops.strides[0], left_strides[-1])),
            Operand(right, () if packed else (*loops.strides[1], *right_strides[-2:])),
            scratch,
            sink,
        )
        return sizes


def _matrix_strides(buffer: Buffer, axes: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """Strides over (*batch, rows, columns), with 0 for the batch axes that are broadcast."""
    shape = tuple(int(dim) for dim in buffer.shape)
    strides = strides_of(shape, shape)
    if axes is not None:
        strides = tuple(strides[axis] for axis in axes)
    return (*[0] * (rank - len(strides)), *strides)


def _depth(left: Buffer, axes: tuple[int, ...] | None) -> int:
    return int(left.shape[axes[-1] if axes is not None else -1])
