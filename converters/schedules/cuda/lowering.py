"""From a fused operation on tensors of known shapes to its kernel."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from converters.request import ConversionError
from converters.schedules.cpu.elements import collapse, strides_of
from converters.schedules.cpu.views import views_of
from converters.schedules.cuda import anchors, elements, product, rows
from converters.schedules.cuda.code import TYPES, Operand
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.layout import Convolution, Depthwise, Pooling, Resampling
from converters.schedules.cuda.problem import Extents, Left, Product, Right
from converters.schedules.cuda.reduction import Reduction
from converters.schedules.cuda.source import Source, as_function
from converters.schedules.network import ops
from converters.schedules.network.graph import Shape, Tensor
from converters.schedules.network.program import Fused, Program
from converters.schedules.network.writer import Lowered

VIEWS = (ops.Transpose, ops.Broadcast, ops.Slice, ops.Concat)
ANCHORS = (
    *VIEWS,
    Convolution,
    Depthwise,
    Pooling,
    Resampling,
    ops.Pad,
    ops.ChannelAverage,
    ops.ChannelShuffle,
    ops.Gather,
    ops.Matmul,
)

MOST_ELEMENTS = 2**31 - 2**16
"""Kernels count in 32 bits, up to a block beyond the last element."""


def is_anchor(op: object) -> bool:
    """Whether a kernel of this operation can go on with pointwise ones."""
    return isinstance(op, ANCHORS)


def lower(op: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor], gpu: Gpu) -> Lowered:
    """The kernel of a fused operation. ConversionError if a tensor is too large for it."""
    assert isinstance(op, Fused)
    lowering = _Lowering(op, inputs, outputs, gpu)
    source = lowering.source()
    tensors = [*inputs, *outputs, *(Tensor((size,)) for size in lowering.scratch)]
    for tensor in tensors:
        if prod(tensor.shape) > MOST_ELEMENTS:
            raise ConversionError(
                f"a tensor of shape {list(tensor.shape)} has more elements than kernels for a GPU count, "
                f"which is {MOST_ELEMENTS}: use a smaller batch size"
            )
    return Lowered(as_function(source, tensors), lowering.scratch)


class _Lowering:
    def __init__(self, op: Fused, inputs: Sequence[Tensor], outputs: Sequence[Tensor], gpu: Gpu) -> None:
        self._anchor = op.anchor
        self._program = op.program
        self._gpu = gpu
        self._inputs = inputs
        self._outputs = outputs
        self._names = [f"p{i}" for i in range(len(inputs) + len(outputs))]
        self._anchored = op.anchored
        self.scratch: tuple[int, ...] = ()
        shapes = self._program.inputs[1 if op.anchor is not None else 0 :]
        whole = self._program.shape
        self._operands = [
            Operand(name, tensor.dtype, strides_of(shape, whole))
            for name, tensor, shape in zip(
                self._names[op.anchored :], inputs[op.anchored :], shapes, strict=False
            )
        ]
        reduced = self._program.is_reduced()
        kept = tuple(1 if i in self._program.axes else n for i, n in enumerate(whole))
        self._results = [
            Operand(name, tensor.dtype, strides_of(kept if reduced[result] else whole, whole))
            for name, tensor, result in zip(
                self._names[len(inputs) :], outputs, self._program.results, strict=True
            )
        ]

    def source(self) -> Source:
        arguments = tuple(range(len(self._names)))
        if self._anchor is None and self._program.axes:
            return self._rows()
        if isinstance(self._anchor, Convolution):
            return self._product(self._convolution(self._anchor))
        if isinstance(self._anchor, ops.Matmul):
            return self._product(self._matmul(self._anchor))
        anchor = self._element_anchor()
        return elements.emit(
            self._signature(), self._program, self._operands, self._results, anchor, arguments=arguments
        )

    def _signature(self) -> str:
        inputs = [f"const {TYPES[t.dtype]}* __restrict__ p{i}" for i, t in enumerate(self._inputs)]
        first = len(inputs)
        outputs = [f"{TYPES[t.dtype]}* __restrict__ p{first + i}" for i, t in enumerate(self._outputs)]
        scratch = [f"float* __restrict__ scratch{i}" for i in range(len(self.scratch))]
        return ", ".join([*inputs, *outputs, *scratch])

    def _element_anchor(self) -> elements.Anchor | None:
        data = self._inputs[0]
        shape = self._program.shape
        match self._anchor:
            case None:
                return None
            case op if isinstance(op, VIEWS):
                sources = self._inputs[: self._anchored]
                views = views_of(op, [tensor.shape for tensor in sources], shape, 1)
                assert views is not None
                names = tuple(self._names[: self._anchored])
                return anchors.Views(names, tuple(views), data.dtype, shape)
            case ops.Pad(before, value):
                return anchors.Padding("p0", data.dtype, data.shape, before, value)
            case ops.Gather(axis):
                return anchors.Taken("p0", data.dtype, "p1", data.shape, self._inputs[1].shape, axis)
            case Pooling(kind, window, counted):
                return anchors.Pooled("p0", kind, window, data.shape[-1], counted)
            case Depthwise(window):
                return anchors.Depthwise("p0", "p1", window, data.shape[-1])
            case Resampling(weighted):
                return self._resampled(weighted)
            case ops.ChannelShuffle(groups):
                return anchors.Shuffled("p0", data.shape, groups)
            case ops.ChannelAverage(size):
                return anchors.ChannelMean("p0", data.shape, size)
            case other:
                raise AssertionError(f"no kernel for {other}")

    def _resampled(self, weighted: Sequence[bool]) -> anchors.Resampled:
        data = self._inputs[0]
        places: list[str] = []
        weights: list[str | None] = []
        taps: list[int] = []
        number = 1
        for has_weights in weighted:
            places.append(f"p{number}")
            taps.append(self._inputs[number].shape[0])
            weights.append(f"p{number + 1}" if has_weights else None)
            number += 1 + has_weights
        output = self._program.shape[1:-1]
        return anchors.Resampled(
            "p0", tuple(places), tuple(weights), tuple(taps), data.shape[1:-1], output, data.shape[-1]
        )

    def _product(self, problem: Product) -> Source:
        self.scratch = problem.scratch
        names = [*self._names, *(f"scratch{i}" for i in range(len(self.scratch)))]
        return product.emit(problem, self._signature(), names, "scratch0" if self.scratch else None)

    def _rows(self) -> Source:
        problem = Reduction(self._gpu, self._program, tuple(self._operands), tuple(self._results))
        self.scratch = problem.scratch
        arguments = range(len(self._names) + len(self.scratch))
        return rows.emit(problem, self._signature(), arguments, "scratch0" if self.scratch else None)

    def _convolution(self, conv: Convolution) -> Product:
        """Rows are the pixels of all images; a batch is a group of channels."""
        data = self._inputs[0]
        *pixels, filters = self._program.shape
        each = filters // conv.groups
        every = [*self._operands, *self._results]
        loops = collapse(tuple(pixels), [False] * len(pixels), [o.strides[:-1] for o in every])
        moved = [
            Operand(o.name, o.dtype, (o.strides[-1] * each, *strides, o.strides[-1]))
            for o, strides in zip(every, loops.strides, strict=True)
        ]
        left = Left("p0", (), (), 1, conv.window, data.shape[-1])
        depth = conv.depth(data.shape[-1])
        extents = Extents((conv.groups,), loops.extents, each, depth)
        return self._problem(extents, left, Right("p1", (), 0, 0, packed=True), moved)

    def _matmul(self, op: ops.Matmul) -> Product:
        """Axes on which the right operand changes are batches, the others rows."""
        left, right = self._inputs[:2]
        shape = self._program.shape
        order = op.output or tuple(range(len(shape)))
        inverse = [order.index(axis) for axis in range(len(shape))]
        *outer, columns = (shape[axis] for axis in inverse)
        every = [
            Operand(o.name, o.dtype, tuple(o.strides[axis] for axis in inverse))
            for o in (*self._operands, *self._results)
        ]
        packed = op.right == ops.PACKED
        left_strides = _matrix_strides(left.shape, op.left, len(shape))
        if packed:  # whole matrices, one after the other
            matrices = right.shape[: -3 if self._gpu.precision == "fp16" else -2]
            right_strides = _matrix_strides((*matrices, 1, 1), None, len(shape))
        else:
            right_strides = _matrix_strides(right.shape, op.right, len(shape))
        depth = left.shape[op.left[-1] if op.left is not None else -1]
        right_outer = (*right_strides[:-2], 0)
        loops = collapse(
            tuple(outer),
            [stride != 0 for stride in right_outer],
            [left_strides[:-1], right_outer, *(o.strides[:-1] for o in every)],
        )
        left_outer, right_rows, *others = loops.strides
        batch = [axis for axis, flag in enumerate(loops.reduced) if flag]
        kept = [axis for axis, flag in enumerate(loops.reduced) if not flag]
        moved = [
            Operand(o.name, o.dtype, (*(s[a] for a in (*batch, *kept)), o.strides[-1]))
            for o, s in zip(every, others, strict=True)
        ]
        extents = Extents(
            tuple(loops.extents[a] for a in batch), tuple(loops.extents[a] for a in kept), columns, depth
        )
        return self._problem(
            extents,
            Left(
                "p0",
                tuple(left_outer[a] for a in batch),
                tuple(left_outer[a] for a in kept),
                left_strides[-1],
            ),
            Right("p1", tuple(right_rows[a] for a in batch), right_strides[-2], right_strides[-1], packed),
            moved,
        )

    def _problem(self, extents: Extents, left: Left, right: Right, moved: Sequence[Operand]) -> Product:
        split = len(self._operands)
        program = self._program_over(extents)
        return Product(self._gpu, extents, left, right, program, tuple(moved[:split]), tuple(moved[split:]))

    def _program_over(self, extents: Extents) -> Program:
        shape = (*extents.batch, *extents.rows, extents.columns)
        old = self._program
        return Program(shape, old.inputs, old.steps, old.results)


def _matrix_strides(shape: Shape, axes: tuple[int, ...] | None, rank: int) -> tuple[int, ...]:
    """Strides over (*batch, rows, columns), with 0 for the batch axes that are broadcast."""
    strides = strides_of(shape, shape)
    if axes is not None:
        strides = tuple(strides[axis] for axis in axes)
    return (*[0] * (rank - len(strides)), *strides)
