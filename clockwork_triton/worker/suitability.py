"""Whether an artifact fits a device."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from clockwork_triton.artifact import Manifest, TensorRef, Variant
from clockwork_triton.artifact.cpu_features import missing
from clockwork_triton.datatypes import itemsize
from clockwork_triton.worker.cuda.driver import GpuFacts
from clockwork_triton.worker.device import UnsuitableModel

OLDEST = (8, 0)
"""The compute capability of the oldest GPUs that models can be compiled for."""

TEGRAS = {(8, 7), (10, 1)}
"""Compute capabilities of Tegra parts that share their major number with others."""


def check_fit(
    manifest: Manifest, *, page_bytes: int, pages: int, workspace_bytes: int, slot_bytes: int
) -> None:
    """UnsuitableModel, with what to do about it, if the model needs more memory of any sort than there is."""
    if manifest.page_bytes != page_bytes:
        raise UnsuitableModel(f"it is laid out for pages of {manifest.page_bytes} bytes, not {page_bytes}")
    if manifest.pages > pages:
        raise UnsuitableModel(
            f"its weights take {manifest.pages} pages of {page_bytes} bytes and the device memory has "
            f"{pages}: see --device-memory"
        )
    if manifest.workspace_bytes > workspace_bytes:
        raise UnsuitableModel(
            f"it needs a workspace of {manifest.workspace_bytes} bytes and the device has "
            f"{workspace_bytes}: see --device-workspace"
        )
    for size in manifest.batch_sizes:
        needed = manifest.slot(size).bytes
        if needed > slot_bytes:
            raise UnsuitableModel(
                f"the tensors of batch size {size} take {needed} bytes and an I/O slot has {slot_bytes}: see "
                "--device-slot"
            )
    for variant in manifest.variants.values():
        _check_bounds(manifest, variant)


def check_cpu(manifest: Manifest, features: Collection[str]) -> None:
    """UnsuitableModel if the kernels may use instructions that a CPU with these features lacks."""
    if manifest.gpu_arch:
        raise UnsuitableModel(f"it is compiled for a GPU ({manifest.gpu_arch}): convert it for the CPU")
    if lacking := missing(manifest.cpu_features, features):
        raise UnsuitableModel(
            f"it is compiled for another CPU: this one lacks {', '.join(lacking)}. Convert the model here"
        )


def check_gpu(manifest: Manifest, gpu: GpuFacts) -> None:
    """UnsuitableModel, with what to do about it, if the GPU or its driver cannot run the device code."""
    found = re.fullmatch(r"sm_(\d+)(\d)([af]?)", manifest.gpu_arch)
    if found is None:
        raise UnsuitableModel("it is not converted for a GPU: convert it with --target cuda")
    own = "sm_{}{}".format(*gpu.capability)
    if not _runs((int(found[1]), int(found[2])), gpu.capability, exact=found[3] == "a"):
        raise UnsuitableModel(
            f"it is compiled for {manifest.gpu_arch}, which this GPU ({own}) cannot run: convert it with "
            f"--arch {own}"
        )
    needed = max((launch.shared_bytes for every in manifest.launches.values() for launch in every), default=0)
    if needed > gpu.block_shared_bytes:
        raise UnsuitableModel(
            f"it is compiled for {manifest.gpu_arch}, needs {needed} bytes of shared memory a block and this "
            f"GPU has {gpu.block_shared_bytes}: convert it with --arch {own}"
        )
    _check_driver(manifest, gpu)


def _runs(made_for: tuple[int, int], capability: tuple[int, int], *, exact: bool) -> bool:
    """Whether code for one compute capability runs on another: of the same major number, where it is not
    older; but neither from nor to a Tegra. `exact`: code of the suffix a runs on its own capability alone,
    while that of the suffix f does on its family, as plain code does."""
    if made_for == capability:
        return True
    if exact or {made_for, capability} & TEGRAS:
        return False
    return capability[0] == made_for[0] and capability[1] > made_for[1]


def _check_driver(manifest: Manifest, gpu: GpuFacts) -> None:
    """A compiler's code runs under every driver of its major version, and under newer ones."""
    compiler = manifest.origin.get("nvcc", "")
    if not compiler or int(compiler.partition(".")[0]) <= gpu.cuda_version[0]:
        return
    major = compiler.partition(".")[0]
    known = "{}.{}".format(*gpu.cuda_version)
    raise UnsuitableModel(
        f"it is compiled by nvcc {compiler}, and the driver here knows CUDA {known}: it needs a driver that "
        f"knows CUDA {major}, or convert it with the nvcc of CUDA {known} on the PATH"
    )


def _check_bounds(manifest: Manifest, variant: Variant) -> None:
    """Kernels write where the manifest says, so a spoilt one must not come to run."""
    rows = variant.batch_size
    sizes = {
        "weight": [segment.bytes for segment in manifest.segments],
        "workspace": [variant.workspace_bytes],
        "input": [tensor.row_bytes * rows for tensor in manifest.inputs],
        "output": [tensor.row_bytes * rows for tensor in manifest.outputs],
    }
    for tensor in variant.tensors:
        places = sizes[tensor.space]
        if not 0 <= tensor.index < len(places) or not _inside(tensor, places[tensor.index]):
            raise UnsuitableModel(f"a tensor of batch size {rows} lies outside its {tensor.space}: {tensor}")
    for segment in manifest.segments:
        if segment.bytes > segment.pages * manifest.page_bytes:
            raise UnsuitableModel(f"a segment of weights is larger than its pages: {segment}")


def _inside(tensor: TensorRef, size: int) -> bool:
    return 0 <= tensor.offset <= size - math.prod(tensor.shape) * itemsize(tensor.dtype)
