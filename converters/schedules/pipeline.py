"""The passes for each kind of target."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from converters.schedules.cpu.fallback import schedule_the_rest
from converters.schedules.cpu.lowering import is_anchor
from converters.schedules.machine import Machine
from converters.schedules.network.fuse import fuse
from converters.schedules.network.joining import join_in_place
from converters.schedules.network.layout import assign_layouts
from converters.schedules.network.ops import Foreign
from converters.schedules.network.reader import Reader, Unreadable
from converters.schedules.network.simplify import simplify
from converters.schedules.network.writer import write


def cpu_passes(target: tvm.target.Target) -> list[Any]:
    """Kernels from this package's templates where they know the operator, from TVM elsewhere."""
    return [_templates(target)]


def cuda_passes(target: tvm.target.Target) -> list[Any]:
    """TVM's own kernels and general GPU schedules."""
    from tvm.s_tir import dlight

    gpu = dlight.gpu
    rules = (gpu.Matmul(), gpu.GEMV(), gpu.Reduction(), gpu.GeneralReduction(), gpu.Fallback())
    return [*_library(target), dlight.ApplyDefaultSchedule(*rules)]


def _templates(target: tvm.target.Target) -> Any:
    machine = Machine.of(target)
    library = tvm.ir.transform.Sequential([*_library(target), schedule_the_rest])

    @tvm.transform.module_pass(opt_level=0, name="Templates")  # type: ignore[untyped-decorator]
    def run(module: tvm.IRModule, _: Any) -> tvm.IRModule:
        try:
            reader = Reader(module["main"])
        except Unreadable:
            return library(module)
        network = simplify(reader.network.pruned())
        network = join_in_place(assign_layouts(network, machine))
        network = fuse(network, is_anchor).pruned()
        written = write(network, module, reader.bound, machine, as_tuple=reader.returns_tuple)
        if any(isinstance(node.op, Foreign) for node in network.nodes):
            return library(written)
        return written

    return run


def _library(target: tvm.target.Target) -> list[Any]:
    """TVM's operators as kernels, those that follow each other fused."""
    return [
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
