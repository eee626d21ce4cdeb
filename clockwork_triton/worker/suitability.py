"""Whether an artifact fits a device."""

from __future__ import annotations

from clockwork_triton.artifact import Manifest
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
