"""A schedule for kernels that TVM makes of operators which no template knows. Right for every shape.

TVM's loop nests are naive: a sum runs innermost and through memory, one element at a time, and floats must
not be added in another order, so LLVM cannot vectorise it. Here the last axis of the output runs innermost:
its elements are neighbours, so LLVM can.
"""

from __future__ import annotations

from typing import Any

import tvm
from tvm import s_tir, tirx

# An innermost loop of fewer elements is not worth moving.
FEWEST = 4


@tvm.transform.module_pass(opt_level=0, name="Fallback")  # type: ignore[untyped-decorator]
def schedule_the_rest(module: tvm.IRModule, _: Any) -> tvm.IRModule:
    """Schedules every kernel that is not."""
    changed = {
        name: _scheduled(func)
        for name, func in module.functions.items()
        if isinstance(func, tirx.PrimFunc) and not func.attrs.get("tirx.is_scheduled", False)
    }
    for name, func in changed.items():
        module.update_func(name, func)
    return module


def _scheduled(func: tirx.PrimFunc) -> tirx.PrimFunc:
    try:
        schedule = s_tir.Schedule(tvm.IRModule({"main": func}))
        root = schedule.get_sblock("root")
    except (RuntimeError, ValueError):
        return func  # in no form that can be scheduled
    for block in schedule.get_child_blocks(root):
        before = schedule.mod
        try:
            _spatial_innermost(schedule, block)
        except (RuntimeError, ValueError):
            # A rule of TVM's against it: that block stays as it was.
            schedule = s_tir.Schedule(before)
    return schedule.mod["main"]


def _spatial_innermost(schedule: Any, block: Any) -> None:
    """Moves a block's last spatial loop inside of its reductions."""
    loops = schedule.get_loops(block)
    kinds = [int(variable.iter_type) for variable in schedule.get(block).iter_vars]
    extents = [schedule.get(loop).extent for loop in loops]
    spatial = [i for i, kind in enumerate(kinds) if kind == tirx.IterVar.DataPar]
    reduced = [i for i, kind in enumerate(kinds) if kind == tirx.IterVar.CommReduce]
    plain = len(loops) == len(kinds) == len(spatial) + len(reduced)
    if not plain or not spatial or not reduced or len(schedule.get(block).writes) != 1:
        return
    last = spatial[-1]
    if not isinstance(extents[last], tirx.IntImm) or int(extents[last]) < FEWEST:
        return
    order = [*spatial[:-1], *reduced, last]
    schedule.reorder(*(loops[i] for i in order))
    schedule.decompose_reduction(block, loops[reduced[0]])
