"""Hands the kernels of operators that no template knows to MetaSchedule, which tries schedules for hours."""

from __future__ import annotations

import tempfile
from typing import Any

import tvm
from tvm import tirx

# Schedules tried for each kernel; each takes seconds.
TRIALS = 64

# What compiling one may take, the start of the process that does it included.
BUILD_SECONDS = 300.0


def search_the_rest(target: tvm.target.Target, trials: int = TRIALS) -> Any:
    """The pass. What it finds nothing for stays as it was, for `fallback`."""

    @tvm.transform.module_pass(opt_level=0, name="Search")  # type: ignore[untyped-decorator]
    def run(module: tvm.IRModule, _: Any) -> tvm.IRModule:
        found = {
            name: _best(func, target, trials)
            for name, func in module.functions.items()
            if isinstance(func, tirx.PrimFunc) and not func.attrs.get("tirx.is_scheduled", False)
        }
        for name, best in found.items():
            if best is not None:
                module.update_func(name, best)
        return module

    return run


def _best(func: tirx.PrimFunc, target: tvm.target.Target, trials: int) -> tirx.PrimFunc | None:
    from tvm.s_tir import meta_schedule

    module = tvm.IRModule({"main": func.with_attr("global_symbol", "main")})
    with tempfile.TemporaryDirectory(prefix="search-") as folder:
        database = meta_schedule.tune_tir(
            module,
            target,
            folder,
            max_trials_global=trials,
            num_trials_per_iter=min(trials, 16),
            cost_model="random",  # the other one needs a library of its own
            num_tuning_cores=1,
            builder=meta_schedule.builder.LocalBuilder(max_workers=1, timeout_sec=BUILD_SECONDS),
        )
        schedule = meta_schedule.tir_integration.compile_tir(database, module, target)
    if schedule is None:
        return None
    best = schedule.mod["main"].without_attr("global_symbol")
    return best.with_attrs({**dict(func.attrs.items()), "tirx.is_scheduled": True})
