"""Whether an artifact fits a device."""

from __future__ import annotations

import math
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
    if lacking := missing(manifest.cpu_features, features):
        raise UnsuitableModel(
            f"it is compiled for another CPU: this one lacks {', '.join(lacking)}. Convert the model here"
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
