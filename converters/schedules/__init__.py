"""From imported Relax to scheduled kernels: what decides how fast an artifact is."""

from __future__ import annotations

from typing import Any

import tvm

from converters.schedules.network.writer import Lower
from converters.schedules.pipeline import cpu_passes, cuda_passes


def pipeline(
    target: tvm.target.Target, precision: str = "tf32", lower: Lower | None = None, trials: int = 0
) -> Any:
    """The passes that turn an imported module into kernels for `target`.

    In: an IRModule whose `main` is Relax with static shapes and weights as constants. Out: one whose
    `main` holds only calls of scheduled PrimFuncs (`R.call_tir`), reshapes, tuples and constants; anything
    computed from constants alone has become a constant. Run it under `target`.

    `precision`: of products on a GPU, see `schedules.cuda.gpu`. A CPU computes in FP32. `lower`: what makes
    the kernels of a CPU, such as `schedules.cpu.tuning.Tuner.lower`. `trials`: how many schedules
    MetaSchedule tries for each kernel of a CPU that no template knows.
    """
    if target.kind.name == "cuda":
        return tvm.ir.transform.Sequential(cuda_passes(target, precision))
    return tvm.ir.transform.Sequential(cpu_passes(target, lower, trials))
