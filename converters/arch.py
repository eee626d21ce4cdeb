"""GPU architectures by name: sm_90 is code for compute capability 9.0."""

from __future__ import annotations

import re

from converters.request import ConversionError

OLDEST = 80
"""Templates copy asynchronously and multiply in TF32, which GPUs do from compute capability 8.0 on."""


def capability_of(arch: str) -> int:
    """90 for sm_90, sm_90a and sm_90f. ConversionError if that is no architecture, or too old."""
    found = re.fullmatch(r"sm_(\d{2,3})[af]?", arch)
    if found is None:
        raise ConversionError(f"'{arch}' is not a GPU architecture: expected one such as sm_90")
    capability = int(found[1])
    if capability < OLDEST:
        raise ConversionError(
            f"{arch} is too old: kernels need asynchronous copies and products of TF32, which GPUs have from "
            f"sm_{OLDEST} on"
        )
    return capability
