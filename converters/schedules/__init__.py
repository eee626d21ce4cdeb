"""From imported Relax to scheduled kernels: what decides how fast an artifact is."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax


def pipeline(target: tvm.target.Target) -> Any:
    """The passes that turn an imported module into kernels for `target`.

    In: an IRModule whose `main` is Relax with static shapes and weights as constants. Out: one whose
    `main` holds only calls of scheduled PrimFuncs (`R.call_tir`), reshapes, tuples and constants; anything
    computed from constants alone has become a constant. Run it under `target`.
    """
    passes = [
        relax.transform.DecomposeOpsForInference(),
        relax.transform.CanonicalizeBindings(),
        *relax.pipeline.library_dispatch_passes(target),
        relax.transform.LegalizeOps(),
        relax.transform.AnnotateTIROpPattern(),
        relax.transform.FoldConstant(),
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.RewriteDataflowReshape(),
        relax.transform.DeadCodeElimination(),
    ]
    if target.kind.name == "cuda":
        from tvm.s_tir import dlight

        gpu = dlight.gpu
        passes.append(
            dlight.ApplyDefaultSchedule(
                gpu.Matmul(), gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction(), gpu.Fallback()
            )
        )
    return tvm.ir.transform.Sequential(passes)
