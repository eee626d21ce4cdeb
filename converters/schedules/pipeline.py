"""The passes for each kind of target."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import tvm
from tvm import relax

from clockwork_triton.datatypes import itemsize
from converters.schedules.cpu import lowering as cpu_lowering
from converters.schedules.cpu.fallback import schedule_the_rest
from converters.schedules.cpu.search import search_the_rest
from converters.schedules.cuda import layout as cuda_layout
from converters.schedules.cuda import lowering as cuda_lowering
from converters.schedules.cuda.conversions import with_conversions
from converters.schedules.cuda.gpu import Gpu
from converters.schedules.cuda.stacking import stack_products
from converters.schedules.machine import Machine
from converters.schedules.network import layout as cpu_layout
from converters.schedules.network.fuse import fuse
from converters.schedules.network.graph import Network
from converters.schedules.network.joining import ALIGNMENT, join_in_place
from converters.schedules.network.ops import Foreign
from converters.schedules.network.reader import Reader, Unreadable
from converters.schedules.network.simplify import simplify
from converters.schedules.network.writer import Lower, write
from converters.schedules.replacements import replace_operators

Lay = Callable[[Network], Network]
"""Chooses the layouts of a simplified network's tensors, and the algorithms of its operations."""

KEPT = ("relax.strided_slice", "relax.reshape")
"""What becomes no kernel where it only names memory."""


def cpu_passes(target: tvm.target.Target, lower: Lower | None = None, trials: int = 0) -> list[Any]:
    """Kernels from the templates in `cpu` where they know the operator, from TVM elsewhere. `lower`: how the
    templates are used, if another way than the plain one. `trials`: schedules for each of TVM's kernels."""
    machine = Machine.of(target)
    search = [search_the_rest(target, trials)] if trials else []
    return [
        _templates(
            lambda network: join_in_place(cpu_layout.assign_layouts(network, machine)),
            cpu_lowering.is_anchor,
            lower or (lambda op, inputs, outputs: cpu_lowering.lower(op, inputs, outputs, machine)),
            [*_library(target), *search, schedule_the_rest],
        )
    ]


def cuda_passes(target: tvm.target.Target, precision: str) -> list[Any]:
    """Kernels from the templates in `cuda` where they know the operator, from TVM with its general GPU
    schedules elsewhere."""
    from tvm.s_tir import dlight

    gpu = Gpu.of(target, precision)
    rules = dlight.gpu
    schedules = (
        rules.Matmul(),
        rules.GEMV(),
        rules.Reduction(),
        rules.GeneralReduction(),
        rules.Fallback(),
    )
    return [
        _templates(
            lambda network: join_in_place(
                cuda_layout.assign_layouts(stack_products(with_conversions(network)), gpu)
            ),
            cuda_lowering.is_anchor,
            lambda op, inputs, outputs: cuda_lowering.lower(op, inputs, outputs, gpu),
            [*_library(target), dlight.ApplyDefaultSchedule(*schedules)],
        )
    ]


def _templates(lay: Lay, is_anchor: Callable[[object], bool], lower: Lower, others: list[Any]) -> Any:
    """`others`: the passes for what no template knows."""
    library = tvm.ir.transform.Sequential(others)

    @tvm.transform.module_pass(opt_level=0, name="Templates")  # type: ignore[untyped-decorator]
    def run(module: tvm.IRModule, _: Any) -> tvm.IRModule:
        try:
            reader = Reader(module["main"])
        except Unreadable:
            return library(module)
        network = fuse(lay(simplify(reader.network.pruned())), is_anchor).pruned()
        written = write(network, module, reader.bound, lower, as_tuple=reader.returns_tuple)
        if any(isinstance(node.op, Foreign) for node in network.nodes):
            return library(written)
        return written

    return run


def _library(target: tvm.target.Target) -> list[Any]:
    """TVM's operators as kernels, those that follow each other fused."""
    cuda = target.kind.name == "cuda"
    # Kernels of constants alone are run here and now, which those in CUDA C cannot be.
    fold = [] if cuda else [relax.transform.FoldConstant()]
    legal = dict.fromkeys(KEPT, _unless_kept) if cuda else {}
    return [
        replace_operators(target),
        relax.transform.DecomposeOpsForInference(),
        relax.transform.CanonicalizeBindings(),
        *relax.pipeline.library_dispatch_passes(target),
        relax.transform.LegalizeOps(legal),
        relax.transform.AnnotateTIROpPattern(),
        *fold,
        relax.transform.FuseOps(),
        relax.transform.FuseTIR(),
        relax.transform.RewriteDataflowReshape(),
        relax.transform.DeadCodeElimination(),
    ]


def _kept(builder: relax.BlockBuilder, call: Any) -> bool:
    """Whether a slice or a reshape is a part of its input's memory as `network.joining` leaves them, from an
    aligned place on along the first axis, or such a part in another shape."""
    data, *rest = call.args
    if call.op.name == "relax.reshape":
        source = builder.lookup_binding(data) if isinstance(data, relax.Var) else None
        kept = isinstance(source, relax.Call) and getattr(source.op, "name", "") in KEPT
        return kept and _kept(builder, source)
    if len(rest) != 3 or [int(axis) for axis in rest[0].fields] != [0]:
        return False
    _, *shape = (int(dim) for dim in data.ty.shape)
    begin = int(rest[1].fields[0]) * prod(shape) * itemsize(str(data.ty.dtype))
    return begin >= 0 and begin % ALIGNMENT == 0


def _unless_kept(builder: relax.BlockBuilder, call: Any) -> Any:
    return call if _kept(builder, call) else call.op.get_attr("FLegalize")(builder, call)
