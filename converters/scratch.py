"""Takes a kernel's internal buffers out of it, so that running it allocates nothing.

TVM lowers a buffer that lives across loop nests of one kernel (a padded copy of the input, the sums of a
softmax) to an allocation on every call. Here it becomes a further argument, whose place is planned with
the model's tensors.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir, tirx

from converters.graph import Value

# Smaller ones stay inside: LLVM keeps them on the stack or in registers.
STACK_BYTES = 1024

_PLACE_BUFFERS = tvm.ir.transform.Sequential(
    [
        s_tir.transform.LowerCrossThreadReduction(),
        s_tir.transform.LowerInitBlock(),
        s_tir.transform.PlanAndUpdateBufferAllocationLocation(),
    ]
)


def lift_scratch(func: tirx.PrimFunc, smallest: int = STACK_BYTES) -> tuple[tirx.PrimFunc, tuple[Value, ...]]:
    """The kernel with its function-wide buffers of more than `smallest` bytes as trailing arguments, and what
    these are.

    A schedule declares all its buffers at the root, but those that it uses within one loop nest are
    allocated there when the kernel is lowered (and shrunk to a tile), so TVM's own pass is asked which
    ones stay at the root. A kernel that is not in schedulable form is returned as it is.
    """
    root = _root(func)
    if root is None or not root.block.alloc_buffers:
        return func, ()
    planned = _PLACE_BUFFERS(tvm.IRModule({"kernel": func}))
    staying = _root(planned["kernel"]).block.alloc_buffers
    lifted = [buffer for buffer in staying if buffer.scope() == "global" and _value(buffer).bytes > smallest]
    if not lifted:
        return func, ()

    def is_lifted(buffer: Any) -> bool:
        return any(buffer.same_as(other) for other in lifted)

    block = root.block
    assert sum(map(is_lifted, block.alloc_buffers)) == len(lifted)
    body = s_tir.SBlockRealize(
        root.iter_values,
        root.predicate,
        s_tir.SBlock(
            block.iter_vars,
            block.reads,
            block.writes,
            block.name_hint,
            block.body,
            block.init,
            [buffer for buffer in block.alloc_buffers if not is_lifted(buffer)],
            block.match_buffers,
            block.annotations,
        ),
    )
    kernel = tirx.PrimFunc([*func.params, *lifted], body, func.ret_type, func.attrs)
    return kernel, tuple(map(_value, lifted))


def _root(func: tirx.PrimFunc) -> Any:
    body = func.body
    return body if isinstance(body, s_tir.SBlockRealize) and not body.block.iter_vars else None


def _value(buffer: Any) -> Value:
    return Value(str(buffer.dtype), tuple(int(dim) for dim in buffer.shape))
