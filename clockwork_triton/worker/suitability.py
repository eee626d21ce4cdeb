"""Whether an artifact fits a device."""

from __future__ import annotations

import math
import re
from collections.abc import Collection

from clockwork_triton.artifact import Manifest, TensorRef, Variant
from clockwork_triton.artifact.cpu_features import missing
from clockwork_triton.datatypes import itemsize
from clockwork_triton.worker.device import UnsuitableModel


def check_fit(
    manifest: Manifest, *, page_bytes: int, pages: int, workspace_bytes: int, slot_bytes: int
) -> None:
    """UnsuitableModel, with what to do about it, if the model needs more memory of any sort than there is."""
    if manifest.page_bytes != page_bytes:
        raise UnsuitableModel(f"it is laid out for pages of {manifest.page_bytes} bytes, not {page_bytes}")
    if manifest.pages > pages:
        raise UnsuitableModel(
            f"its weights take {manifest.pages} pages of {page_bytes} bytes and the device memory has {pages}"
        )
    if manifest.workspace_bytes > workspace_bytes:
        raise UnsuitableModel(
            f"it needs a workspace of {manifest.workspace_bytes} bytes and the device has {workspace_bytes}"
        )
    for size in manifest.batch_sizes:
        needed = manifest.slot(size).bytes
        if needed > slot_bytes:
            raise UnsuitableModel(
                f"the tensors of batch size {size} take {needed} bytes and an I/O slot has {slot_bytes}"
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


def check_gpu(manifest: Manifest, capability: tuple[int, int]) -> None:
    """UnsuitableModel if a GPU of this compute capability cannot run the device code.

    Code for one capability runs on those of the same major number that are not older.
    """
    found = re.fullmatch(r"sm_(\d+)(\d)([af]?)", manifest.gpu_arch)
    if found is None:
        raise UnsuitableModel("it is not converted for a GPU: convert it with --target cuda")
    major, minor, suffix = int(found[1]), int(found[2]), found[3]
    runs = capability == (major, minor) if suffix else capability[0] == major and capability[1] >= minor
    if not runs:
        own = f"sm_{capability[0]}{capability[1]}"
        raise UnsuitableModel(
            f"it is compiled for {manifest.gpu_arch}, which this GPU ({own}) cannot run: convert it with "
            f"--arch {own}"
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
