"""Constants around a tensor."""

from __future__ import annotations

from converters.schedules.cpu.elements import Operand, collapse, strides_of
from converters.schedules.cpu.epilogue import Epilogue
from converters.schedules.cpu.kernel import Buffer, Kernel, splat
from converters.schedules.cpu.movement import emit_view
from converters.schedules.cpu.views import contiguous
from converters.schedules.network import ops
from converters.schedules.network.program import Program

Shape = tuple[int, ...]


def emit(kernel: Kernel, op: ops.Pad, data: Shape, output: Shape, source: Buffer, target: Buffer) -> None:
    """Fills the output, then copies the input into it."""
    lanes = kernel.lanes
    strides = contiguous(output)
    size = output[0] * strides[0]
    whole, rest = divmod(size, lanes)
    flat = Operand(target, (1,))
    with kernel.loop(whole, name="i") as i:
        flat.store(kernel, (i * lanes,), splat(op.value, lanes))
    if rest:
        flat.store(kernel, (whole * lanes,), splat(op.value, lanes), rest)
    begin = sum(before * stride for before, stride in zip(op.before, strides, strict=True))
    loops = collapse(data, [False] * len(data), [strides_of(data, data), strides])
    inside = Operand(target, loops.strides[1], begin)
    nothing = Program(loops.extents, (loops.extents,), (), (0,))
    emit_view(
        kernel, loops.extents, Operand(source, loops.strides[0]), Epilogue(kernel, nothing, (), (inside,))
    )
